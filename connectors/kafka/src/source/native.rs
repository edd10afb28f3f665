//! librdkafka's batch interface: the one place with unsafe code.
//!
//! ```text
//!   partition queues ─┐
//!   partition queues ─┼─ forwarded ─► one queue of ours ─► up to BATCH messages a call
//!   partition queues ─┘
//!   consumer queue ─► BaseConsumer::poll: errors, logs, tokens, answers to commits; never messages
//! ```
//!
//! The safe interface hands out message by message, each behind an event and a clock; that costs more than
//! what is then done with a message.
//!
//! Invariants
//! - Every message that a call returns is destroyed before the next call, and before the queue.
//! - The queue goes before the consumer: `queue` is declared first.

use std::{
    ffi::{CStr, CString},
    ptr, slice,
    sync::Arc,
    time::Duration,
};

use flott_connector::{Header, TimestampType};
use rdkafka::{
    bindings as raw,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaResult, RDKafkaErrorCode},
    topic_partition_list::{Offset, TopicPartitionList},
};

use crate::context::Context;

/// Messages that one call returns at the most.
pub(crate) const BATCH: usize = 4096;

/// Fetches messages of the partitions assigned.
pub(crate) struct Fetcher {
    queue: Queue,
    consumer: Arc<BaseConsumer<Context>>,
    batch: Vec<*mut raw::rd_kafka_message_t>,
}

// SAFETY: librdkafka's handles may be used by any thread; `batch` is empty whenever no call is under way.
unsafe impl Send for Fetcher {}

/// A queue of librdkafka that is given back when dropped.
struct Queue(*mut raw::rd_kafka_queue_t);

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the pointer came from a call that gives the caller a reference of its own.
        unsafe { raw::rd_kafka_queue_destroy(self.0) }
    }
}

impl Fetcher {
    pub(crate) fn new(consumer: Arc<BaseConsumer<Context>>) -> Self {
        // SAFETY: the consumer lives as long as the queue, which is dropped first.
        let queue = Queue(unsafe { raw::rd_kafka_queue_new(consumer.client().native_ptr()) });
        Self { queue, consumer, batch: Vec::with_capacity(BATCH) }
    }

    pub(crate) fn consumer(&self) -> &Arc<BaseConsumer<Context>> {
        &self.consumer
    }

    /// Begins to fetch these partitions from these offsets on.
    pub(crate) fn assign<'a>(
        &self,
        partitions: impl Iterator<Item = (&'a str, i32, i64)>,
    ) -> KafkaResult<()> {
        let (mut list, mut names) = (TopicPartitionList::new(), Vec::new());
        for (topic, partition, offset) in partitions {
            list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
            names.push((CString::new(topic)?, partition));
        }
        if names.is_empty() {
            return Ok(());
        }
        self.forward(&names);
        self.consumer.incremental_assign(&list)?;
        // A partition that was unassigned just now: librdkafka's own thread ends it some time before it takes the
        // assignment, and undoes the forwarding then.
        self.forward(&names);
        Ok(())
    }

    /// Has what comes of these partitions go into our queue.
    fn forward(&self, partitions: &[(CString, i32)]) {
        for (name, partition) in partitions {
            // SAFETY: the client lives, the name ends with a zero byte; the queue is checked below.
            let from = unsafe {
                raw::rd_kafka_queue_get_partition(
                    self.consumer.client().native_ptr(),
                    name.as_ptr(),
                    *partition,
                )
            };
            if !from.is_null() {
                let from = Queue(from);
                // SAFETY: both queues live; librdkafka keeps a reference to the target of its own.
                unsafe { raw::rd_kafka_queue_forward(from.0, self.queue.0) };
            }
        }
    }

    /// Ends fetching this partition.
    pub(crate) fn unassign(&self, topic: &str, partition: i32) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        self.consumer.incremental_unassign(&list)
    }

    /// Hands over the messages that are there, at most [`BATCH`]; waits for the first one. How many there were.
    pub(crate) fn fetch(&mut self, wait: Duration, mut take: impl FnMut(&Fetched<'_>)) -> usize {
        let mut count = self.call(0, BATCH, Duration::ZERO);
        if count == 0 && !wait.is_zero() {
            // librdkafka waits until it has as many as asked for: so it is asked for one.
            count = self.call(0, 1, wait);
            count += if count == 0 { 0 } else { self.call(count, BATCH - count, Duration::ZERO) };
        }
        // SAFETY: the calls have filled so many entries, and there is room for BATCH.
        unsafe { self.batch.set_len(count) };
        for message in self.batch.drain(..) {
            // SAFETY: librdkafka gave it to us; it lives until it is destroyed.
            take(&Fetched { message: unsafe { &*message } });
            // SAFETY: nobody holds it any more.
            unsafe { raw::rd_kafka_message_destroy(message) };
        }
        count
    }

    fn call(&mut self, at: usize, room: usize, wait: Duration) -> usize {
        let millis = libc_int(wait);
        // SAFETY: `batch` has room for BATCH entries, and at + room is never more.
        let got = unsafe {
            raw::rd_kafka_consume_batch_queue(self.queue.0, millis, self.batch.as_mut_ptr().add(at), room)
        };
        usize::try_from(got).unwrap_or(0).min(room)
    }

    /// The partition's end as the last answer to a fetch told it.
    pub(crate) fn known_end(&self, topic: &CStr, partition: i32) -> Option<i64> {
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the client lives, the name ends with a zero byte, both numbers outlive the call.
        let error = unsafe {
            raw::rd_kafka_get_watermark_offsets(
                self.consumer.client().native_ptr(),
                topic.as_ptr(),
                partition,
                &raw mut low,
                &raw mut high,
            )
        };
        (error == raw::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
    }
}

/// Rounded up: a wait of zero would spin.
fn libc_int(wait: Duration) -> i32 {
    i32::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
}

/// A message, or what is wrong with its partition.
pub(crate) struct Fetched<'a> {
    message: &'a raw::rd_kafka_message_t,
}

impl<'a> Fetched<'a> {
    /// What is wrong with the partition; then it is no message.
    pub(crate) fn error(&self) -> Option<RDKafkaErrorCode> {
        let error = self.message.err;
        (error != raw::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| error.into())
    }
    /// Tells topics apart: the same topic has the same number as long as one of its partitions is assigned.
    pub(crate) fn topic_number(&self) -> usize {
        self.message.rkt.addr()
    }
    pub(crate) fn topic(&self) -> &'a str {
        if self.message.rkt.is_null() {
            return "";
        }
        // SAFETY: the topic lives at least as long as its message; its name ends with a zero byte.
        let name = unsafe { CStr::from_ptr(raw::rd_kafka_topic_name(self.message.rkt)) };
        name.to_str().unwrap_or_default()
    }
    pub(crate) fn partition(&self) -> i32 {
        self.message.partition
    }
    pub(crate) fn offset(&self) -> i64 {
        self.message.offset
    }
    pub(crate) fn value(&self) -> Option<&'a [u8]> {
        bytes(self.message.payload.cast(), self.message.len)
    }
    pub(crate) fn key(&self) -> Option<&'a [u8]> {
        bytes(self.message.key.cast(), self.message.key_len)
    }
    pub(crate) fn timestamp(&self) -> (i64, TimestampType) {
        let mut kind = raw::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message lives, `kind` outlives the call.
        let millis = unsafe { raw::rd_kafka_message_timestamp(self.message, &raw mut kind) };
        let kind = match kind {
            raw::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => {
                TimestampType::NoTimestampType
            }
            raw::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME => TimestampType::CreateTime,
            raw::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => {
                TimestampType::LogAppendTime
            }
        };
        (millis, kind)
    }
    pub(crate) fn leader_epoch(&self) -> i32 {
        // SAFETY: the message lives.
        unsafe { raw::rd_kafka_message_leader_epoch(self.message) }
    }
    pub(crate) fn headers(&self) -> Vec<Header> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message lives, and owns the headers that it tells.
        let error = unsafe { raw::rd_kafka_message_headers(self.message, &raw mut headers) };
        let mut out = Vec::new();
        if error != raw::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || headers.is_null() {
            return out;
        }
        for at in 0.. {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: the headers live as long as the message; all three outlive the call.
            let error = unsafe {
                raw::rd_kafka_header_get_all(headers, at, &raw mut name, &raw mut value, &raw mut size)
            };
            if error != raw::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                break;
            }
            // SAFETY: a header's name ends with a zero byte.
            let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
            out.push((name, bytes(value.cast(), size).map(<[u8]>::to_vec)));
        }
        out
    }
}

/// Bytes of a message that lives as long as `'a`; none: null.
fn bytes<'a>(start: *const u8, length: usize) -> Option<&'a [u8]> {
    // SAFETY: librdkafka's pointer and length belong together, and to the message.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start, length) })
}
