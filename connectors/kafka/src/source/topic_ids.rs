//! Which topic a name stands for: one that was deleted and made anew has another id.
//!
//! ```text
//!   names ─ DescribeTopics ─► a queue of our own ─► name, id      no answer in time: nothing is known
//! ```

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString, c_char},
    time::Duration,
};

use rdkafka::{
    bindings as raw,
    consumer::{BaseConsumer, Consumer},
};

use crate::context::Context;

/// What a topic without an id would have (16 zero bytes): the broker is too old to tell.
const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// The ids of topics, as far as brokers tell them in time.
pub(crate) fn ask<'a>(
    consumer: &BaseConsumer<Context>,
    topics: impl IntoIterator<Item = &'a str>,
    wait: Duration,
) -> BTreeMap<String, String> {
    let names: Vec<CString> = topics.into_iter().filter_map(|name| CString::new(name).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let mut found = BTreeMap::new();
    if names.is_empty() {
        return found;
    }
    let client = consumer.client().native_ptr();
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
        let event = raw::rd_kafka_queue_poll(queue, millis);
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
unsafe fn read(event: *mut raw::rd_kafka_event_t, found: &mut BTreeMap<String, String>) {
    // SAFETY: null unless it is the answer to our question; what it holds lives as long as the event.
    unsafe {
        let result = raw::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return;
        }
        let mut count = 0;
        let topics = raw::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        for at in 0..count {
            let topic = *topics.add(at);
            let (name, id) =
                (raw::rd_kafka_TopicDescription_name(topic), raw::rd_kafka_TopicDescription_topic_id(topic));
            if name.is_null() || id.is_null() {
                continue;
            }
            let text = raw::rd_kafka_Uuid_base64str(id);
            if text.is_null() {
                continue;
            }
            let text = CStr::from_ptr(text).to_string_lossy().into_owned();
            if !text.is_empty() && text.trim_end_matches('=') != NO_ID {
                found.insert(CStr::from_ptr(name).to_string_lossy().into_owned(), text);
            }
        }
    }
}
