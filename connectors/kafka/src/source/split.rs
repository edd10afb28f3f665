//! One partition as it is read.

use std::{ffi::CString, sync::Arc, time::Duration};

use flott_connector::{BufferPool, Header, Messages, Slices, SplitInfo};

use super::{native::Fetched, position::SplitPlace};

/// What of a message is wanted beside its value.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wants {
    /// The table reads keys.
    pub keys: bool,
    /// Dead letters hold keys.
    pub letters: bool,
    pub timestamps: bool,
    pub headers: Headers,
    pub leader_epochs: bool,
}

/// Which messages' headers are looked at. librdkafka makes objects on the heap to find out that there are
/// none, which takes as long as decoding a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Headers {
    /// Nobody wants any.
    #[default]
    None,
    /// For dead letters alone: the first message of each chunk and every 64th one, and all of a partition from
    /// the first one on that had any.
    WhereSeen,
    /// The table reads them.
    All,
}

/// See [`Headers::WhereSeen`].
const LOOK_EVERY: usize = 64;
/// What a header takes beside its bytes.
const HEADER_BYTES: usize = 48;

/// One partition as it is read.
pub(crate) struct Split {
    /// Where the reader stands for whoever resumes: behind the chunk handed out last.
    pub place: SplitPlace,
    pub info: Arc<SplitInfo>,
    /// The topic for librdkafka.
    pub topic: CString,
    /// The next offset expected; those before it were fetched, or hold nothing to be read.
    pub fetched: i64,
    /// Where it stood in the topic before this one, which was made anew.
    pub left: Option<i64>,
    /// All that there is has been fetched, for now.
    pub at_end: bool,
    /// Nothing is to be read any more.
    pub ended: bool,
    /// A chunk has said so.
    pub told_end: bool,
    /// When something came last.
    pub since: Duration,
    pub idle: bool,
    /// A message had headers.
    has_headers: bool,
    /// What the headers of `building` take.
    header_bytes: usize,
    /// What will be the next chunk.
    pub building: Option<Box<Messages>>,
}

impl Split {
    pub(crate) fn new(place: SplitPlace, now: Duration) -> Self {
        let name = format!("{}[{}]", place.topic, place.partition);
        Self {
            info: Arc::new(SplitInfo { name, ..SplitInfo::default() }),
            // Names of topics hold no zero bytes: librdkafka gave this one, or it was checked.
            topic: CString::new(place.topic.as_str()).unwrap_or_default(),
            fetched: place.next,
            left: None,
            at_end: false,
            ended: place.end.is_some_and(|end| place.next >= end),
            told_end: false,
            since: now,
            idle: false,
            has_headers: false,
            header_bytes: 0,
            building: None,
            place,
        }
    }

    /// Whether an offset lies behind the end.
    pub(crate) fn is_behind(&self, offset: i64) -> bool {
        self.place.end.is_some_and(|end| offset >= end)
    }

    /// Takes a message over. False: there is no room any more, nothing was taken.
    pub(crate) fn take(&mut self, message: &Fetched<'_>, wants: Wants, buffers: &BufferPool) -> bool {
        let building = self.building.get_or_insert_with(|| {
            self.header_bytes = 0;
            Box::new(Messages { values: Slices::in_buffer(buffers.take()), ..Messages::default() })
        });
        let key = if wants.keys || wants.letters { message.key() } else { None };
        let keys_fit = building.keys.bytes().len().checked_add(key.map_or(0, <[u8]>::len));
        if keys_fit.is_none_or(|it| u32::try_from(it).is_err()) || !building.values.push(message.value()) {
            return false;
        }
        // Most topics have keys on all messages or on none, and headers seldom: a list that nobody reads begins
        // with the first one that there is.
        if wants.keys || key.is_some() || !building.keys.is_empty() {
            while building.keys.len() < building.offsets.len() && building.keys.push(None) {}
            // There is room: it was looked at above.
            let _ = building.keys.push(key);
        }
        if wants.timestamps {
            let (millis, kind) = message.timestamp();
            building.timestamps.push(millis);
            building.timestamp_types.push(kind);
        }
        let looks = match wants.headers {
            Headers::None => false,
            Headers::WhereSeen => self.has_headers || building.offsets.len().is_multiple_of(LOOK_EVERY),
            Headers::All => true,
        };
        if looks {
            let headers = message.headers();
            self.has_headers |= !headers.is_empty();
            let bytes =
                |(name, value): &Header| HEADER_BYTES + name.len() + value.as_ref().map_or(0, Vec::len);
            self.header_bytes += headers.iter().map(bytes).sum::<usize>();
            if !headers.is_empty() || !building.headers.is_empty() {
                building.headers.resize(building.offsets.len(), Vec::new());
                building.headers.push(headers);
            }
        }
        if wants.leader_epochs {
            building.leader_epochs.push(message.leader_epoch());
        }
        building.offsets.push(message.offset());
        self.fetched = message.offset().saturating_add(1);
        true
    }

    /// Messages and bytes that wait.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        self.building.as_ref().map_or((0, 0), |it| {
            (it.offsets.len(), it.values.bytes().len() + it.keys.bytes().len() + self.header_bytes)
        })
    }
}
