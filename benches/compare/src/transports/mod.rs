//! The ways that are measured, one file each.

mod boost;
mod demo;
mod fd;
#[cfg(feature = "iceoryx2")]
mod iceoryx;
mod mq;
mod packet;
mod shmdemo;
mod stream;
mod sysv;

use crate::measure::Row;

/// All rows of the tables; the first one is what the others are compared with.
pub fn all() -> Vec<Row> {
    vec![
        Row::of::<shmdemo::Shmdemo>(),
        Row::of::<shmdemo::Batched>(),
        Row::of::<shmdemo::Polled>(),
        Row::of::<stream::Pipe>(),
        Row::of::<stream::PipeBatched>(),
        Row::of::<stream::Fifo>(),
        Row::of::<stream::UnixStream>(),
        Row::of::<packet::UnixDatagram>(),
        Row::of::<packet::UnixSeqpacket>(),
        Row::of::<mq::PosixMq>(),
        Row::of::<sysv::SysvMsg>(),
        Row::of::<demo::Demo>(),
        Row::of::<boost::Boost>(),
        #[cfg(feature = "iceoryx2")]
        Row::of::<iceoryx::Iceoryx>(),
    ]
}
