//! The other end: a small client of the test's own, which never loses or acknowledges too early.

use mqttrs::{Connect, Packet, Pid, Protocol, Publish, QoS, QosPid, Subscribe, SubscribeTopic};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

pub struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

/// What came.
pub enum Came {
    Message(String, Vec<u8>),
    Acknowledged,
    Nothing,
}

impl Client {
    pub fn connect(port: u16, name: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_millis(100)))?;
        let mut client = Self { stream, read: Vec::new() };
        client.put(&Packet::Connect(Connect {
            protocol: Protocol::MQTT311,
            keep_alive: 0,
            client_id: name,
            clean_session: false,
            last_will: None,
            username: None,
            password: None,
        }))?;
        client.answer(2)?;
        Ok(client)
    }

    pub fn subscribe(&mut self, filter: &str) -> io::Result<()> {
        let mut subscribe = Subscribe { pid: Pid::new(), topics: Default::default() };
        let topic = SubscribeTopic { topic_path: filter.into(), qos: QoS::AtLeastOnce };
        subscribe.topics.push(topic).expect("one");
        self.put(&Packet::Subscribe(subscribe))
    }

    pub fn publish(&mut self, topic: &str, payload: &[u8], number: u16) -> io::Result<()> {
        let pid = Pid::try_from(number).expect("not 0");
        self.put(&Packet::Publish(Publish {
            dup: false,
            qospid: QosPid::AtLeastOnce(pid),
            retain: false,
            topic_name: topic,
            payload,
        }))
    }

    fn put(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let mut bytes = vec![0; 600 << 10];
        let length = mqttrs::encode_slice(packet, &mut bytes).expect("a packet");
        self.stream.write_all(&bytes[..length])
    }

    /// One packet, head and body; `None`: not within a tenth of a second.
    fn packet(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let mut length = 0;
            let mut at = 1;
            while let Some(byte) = self.read.get(at) {
                length |= usize::from(byte & 0x7f) << (7 * (at - 1));
                at += 1;
                if byte & 0x80 == 0 {
                    if self.read.len() >= at + length {
                        let rest = self.read.split_off(at + length);
                        return Ok(Some(std::mem::replace(&mut self.read, rest)));
                    }
                    break;
                }
            }
            let mut bytes = [0; 16 << 10];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.read.extend(&bytes[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Ok(None)
                }
                Err(e) => return Err(e),
            }
        }
    }

    fn answer(&mut self, kind: u8) -> io::Result<()> {
        for _ in 0..50 {
            if let Some(packet) = self.packet()? {
                assert_eq!(packet[0] >> 4, kind, "{packet:?}");
                return Ok(());
            }
        }
        Err(ErrorKind::TimedOut.into())
    }

    /// What comes next; messages are acknowledged.
    pub fn next(&mut self) -> io::Result<Came> {
        let Some(packet) = self.packet()? else { return Ok(Came::Nothing) };
        match mqttrs::decode_slice(&packet).expect("a packet").expect("a whole one") {
            Packet::Publish(publish) => {
                let (topic, payload) = (publish.topic_name.to_string(), publish.payload.to_vec());
                if let QosPid::AtLeastOnce(pid) = publish.qospid {
                    self.put(&Packet::Puback(pid))?;
                }
                Ok(Came::Message(topic, payload))
            }
            Packet::Puback(_) => Ok(Came::Acknowledged),
            _ => Ok(Came::Nothing),
        }
    }
}

/// Sends numbers in order, each until it is acknowledged; connects again and again. Some on the way at once.
pub struct Numbers {
    port: u16,
    topic: String,
    client: Option<Client>,
    waiting: VecDeque<u32>,
    pub next: u32,
}

impl Numbers {
    pub fn new(port: u16, topic: &str) -> Self {
        Self { port, topic: topic.into(), client: None, waiting: VecDeque::new(), next: 0 }
    }

    /// Sends up to `end` as far as it can be now; true: all is acknowledged.
    pub fn turn(&mut self, end: u32) -> bool {
        if self.try_turn(end).is_err() {
            // All that was not acknowledged once more.
            self.client = None;
            self.next = self.waiting.front().copied().unwrap_or(self.next);
            self.waiting.clear();
        }
        self.next == end && self.waiting.is_empty()
    }

    fn try_turn(&mut self, end: u32) -> io::Result<()> {
        if self.client.is_none() {
            self.client = Some(Client::connect(self.port, "numbers")?);
        }
        let client = self.client.as_mut().expect("just made");
        while self.waiting.len() < 100 && self.next < end {
            client.publish(
                &self.topic,
                self.next.to_string().as_bytes(),
                (self.next % 60_000 + 1) as u16,
            )?;
            self.waiting.push_back(self.next);
            self.next += 1;
        }
        while !self.waiting.is_empty() {
            match client.next()? {
                Came::Acknowledged => drop(self.waiting.pop_front()),
                Came::Nothing => break,
                Came::Message(..) => {}
            }
            if self.waiting.len() < 50 && self.next < end {
                break;
            }
        }
        Ok(())
    }
}
