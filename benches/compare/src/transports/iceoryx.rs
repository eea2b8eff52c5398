//! iceoryx2: publish-subscribe with an event that wakes the subscriber; spinning: without it.

use crate::transport::{Rx, Spec, Transport, Tx, Wait};
use anyhow::Result;
use iceoryx2::node::Node;
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::port::update_connections::UpdateConnections;
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::{event, publish_subscribe};

pub struct Iceoryx;

type Data = publish_subscribe::PortFactory<ipc::Service, [u8], ()>;
type Events = event::PortFactory<ipc::Service>;

/// What keeps both services alive; dropped last.
struct Services {
    data: Data,
    events: Option<Events>,
    _node: Node<ipc::Service>,
}

fn services(spec: &Spec, name: &ServiceName) -> Result<Services> {
    set_log_level(LogLevel::Error);
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    let data = node
        .service_builder(name)
        .publish_subscribe::<[u8]>()
        .max_publishers(1)
        .max_subscribers(1)
        .history_size(0)
        .enable_safe_overflow(false)
        .subscriber_max_buffer_size(spec.depth())
        .open_or_create()?;
    let events = match spec.wait {
        Wait::Block => Some(node.service_builder(name).event().open_or_create()?),
        Wait::Spin => None,
    };
    Ok(Services { data, events, _node: node })
}

pub struct Sender {
    publisher: Publisher<ipc::Service, [u8], ()>,
    notifier: Option<Notifier<ipc::Service>>,
    _services: Services,
}

pub struct Receiver {
    subscriber: Subscriber<ipc::Service, [u8], ()>,
    listener: Option<Listener<ipc::Service>>,
    _services: Services,
}

impl Transport for Iceoryx {
    const NAME: &'static str = "iceoryx2";
    type Link = ServiceName;
    type Tx = Sender;
    type Rx = Receiver;

    fn link(spec: &Spec, direction: u32) -> Result<ServiceName> {
        Ok(ServiceName::new(&spec.name(direction))?)
    }
    fn tx(spec: &Spec, name: &ServiceName) -> Result<Sender> {
        let services = services(spec, name)?;
        let publisher = services
            .data
            .publisher_builder()
            .initial_max_slice_len(spec.size.longest())
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .create()?;
        let notifier = services.events.as_ref().map(|events| events.notifier_builder().create());
        Ok(Sender { publisher, notifier: notifier.transpose()?, _services: services })
    }
    fn rx(spec: &Spec, name: &ServiceName) -> Result<Receiver> {
        let services = services(spec, name)?;
        let subscriber = services.data.subscriber_builder().create()?;
        let listener = services.events.as_ref().map(|events| events.listener_builder().create());
        Ok(Receiver { subscriber, listener: listener.transpose()?, _services: services })
    }
}

impl Tx for Sender {
    fn start(&mut self) -> Result<()> {
        Ok(self.publisher.update_connections()?)
    }

    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<()> {
        let sample = self.publisher.loan_slice_uninit(message.len())?;
        sample.write_from_slice(message).send()?;
        if let Some(notifier) = &self.notifier {
            notifier.notify()?;
        }
        Ok(())
    }
}

impl Rx for Receiver {
    fn start(&mut self) -> Result<()> {
        Ok(self.subscriber.update_connections()?)
    }

    #[inline]
    fn receive(&mut self, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        loop {
            let mut some = false;
            while let Some(sample) = self.subscriber.receive()? {
                each(sample.payload())?;
                some = true;
            }
            if some {
                return Ok(());
            }
            match &self.listener {
                Some(listener) => drop(listener.blocking_wait(|_| {})?),
                None => core::hint::spin_loop(),
            }
        }
    }
}
