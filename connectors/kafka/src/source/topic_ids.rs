//! Which topic a name stands for: one that was deleted and made anew has another id. And which of its partitions
//! have no leader: nobody can read them.
//!
//! ```text
//!   names ─ DescribeTopics ─► a queue of our own ─► name, id, leaders      no answer in time: nothing is known
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{CStr, CString, c_char},
    time::Duration,
};

use rdkafka::{
    ClientContext, bindings as raw,
    client::Client,
    consumer::{BaseConsumer, Consumer},
    error::RDKafkaErrorCode,
};

use super::cluster::Partition;
use crate::context::Context;

/// What brokers have told of topics.
#[derive(Debug, Default)]
pub(crate) struct Described {
    /// The ids of those that are there.
    pub ids: BTreeMap<String, String>,
    /// Those that aren't there, though their brokers answer.
    pub missing: BTreeSet<String>,
    /// Their partitions that no broker leads. None: nobody has answered.
    pub leaderless: Option<BTreeSet<Partition>>,
}

/// What a topic without an id would have (16 zero bytes): the broker is too old to tell.
const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// Milliseconds until librdkafka has said that the time for an answer is over.
const EVENT_WAIT: i32 = 50;

/// What brokers tell of topics in time.
pub(crate) fn ask<'a>(
    consumer: &BaseConsumer<Context>,
    topics: impl IntoIterator<Item = &'a str>,
    wait: Duration,
) -> Described {
    ask_with(consumer.client(), topics, wait)
}

/// The same with any client.
pub(crate) fn ask_with<'a>(
    client: &Client<impl ClientContext>,
    topics: impl IntoIterator<Item = &'a str>,
    wait: Duration,
) -> Described {
    let names: Vec<CString> = topics.into_iter().filter_map(|name| CString::new(name).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let mut found = Described::default();
    if names.is_empty() {
        return found;
    }
    let client = client.native_ptr();
    let millis = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client lives; the names live until their collection is destroyed, which copies them; every
    // handle that a call gives is destroyed once, the queue last; an answer that comes later finds no queue.
    unsafe {
        let queue = raw::rd_kafka_queue_new(client);
        let collection = raw::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let kind = raw::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = raw::rd_kafka_AdminOptions_new(client, kind);
        let mut why: [c_char; 128] = [0; 128];
        raw::rd_kafka_AdminOptions_set_request_timeout(options, millis.max(1), why.as_mut_ptr(), why.len());
        raw::rd_kafka_DescribeTopics(client, collection, options, queue);
        // That nobody has answered comes as an event, too, when the time is over.
        let event = raw::rd_kafka_queue_poll(queue, millis.saturating_add(EVENT_WAIT));
        if !event.is_null() {
            read(event, &mut found);
            raw::rd_kafka_event_destroy(event);
        }
        raw::rd_kafka_AdminOptions_destroy(options);
        raw::rd_kafka_TopicCollection_destroy(collection);
        raw::rd_kafka_queue_destroy(queue);
    }
    found
}

/// # Safety
/// The event lives until this returns.
unsafe fn read(event: *mut raw::rd_kafka_event_t, found: &mut Described) {
    // SAFETY: null unless it is the answer to our question; what it holds lives as long as the event.
    unsafe {
        if raw::rd_kafka_event_error(event) != raw::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return;
        }
        let result = raw::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return;
        }
        let leaderless = found.leaderless.get_or_insert_default();
        let mut count = 0;
        let topics = raw::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        for at in 0..count {
            let topic = *topics.add(at);
            let (name, id) =
                (raw::rd_kafka_TopicDescription_name(topic), raw::rd_kafka_TopicDescription_topic_id(topic));
            if name.is_null() || id.is_null() {
                continue;
            }
            let name = CStr::from_ptr(name).to_string_lossy().into_owned();
            let error = raw::rd_kafka_TopicDescription_error(topic);
            if !error.is_null() {
                let code = RDKafkaErrorCode::from(raw::rd_kafka_error_code(error));
                if code == RDKafkaErrorCode::UnknownTopicOrPartition {
                    found.missing.insert(name);
                }
                continue;
            }
            leaderless.extend(unled(topic).into_iter().map(|partition| (name.clone(), partition)));
            let text = raw::rd_kafka_Uuid_base64str(id);
            if text.is_null() {
                continue;
            }
            let text = CStr::from_ptr(text).to_string_lossy().into_owned();
            if !text.is_empty() && text.trim_end_matches('=') != NO_ID {
                found.ids.insert(name, text);
            }
        }
    }
}

/// The partitions of a topic that no broker leads.
///
/// # Safety
/// The topic's description lives until this returns.
unsafe fn unled(topic: *const raw::rd_kafka_TopicDescription_t) -> Vec<i32> {
    let (mut unled, mut count) = (Vec::new(), 0);
    // SAFETY: the partitions belong to the description; there are as many as it says.
    unsafe {
        let partitions = raw::rd_kafka_TopicDescription_partitions(topic, &raw mut count);
        for at in 0..count {
            let partition = *partitions.add(at);
            if raw::rd_kafka_TopicPartitionInfo_leader(partition).is_null() {
                unled.push(raw::rd_kafka_TopicPartitionInfo_partition(partition));
            }
        }
    }
    unled
}
