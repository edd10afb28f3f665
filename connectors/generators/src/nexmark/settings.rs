//! The options of a `nexmark` table, with the names of Flink's Nexmark connector.

use flott_connector::{OptionDef, OptionKind};
use flott_types::{Code, Diagnostic, Options};

use super::events::{Draw, Kind};
use crate::{SEED_OPTION, random};

/// 2026-01-01 00:00:00 UTC: event time of the first event if not set.
const BASE_MILLIS_DEFAULT: i64 = 1_767_225_600_000;
/// Average sizes above this are refused: a batch must fit into memory.
const EVENT_BYTES_MAX: u64 = 64 << 10;
/// How many streams there are.
const DRAWS: usize = Draw::BidExtra as usize + 1;

pub(super) const OPTIONS: &[OptionDef] = &[
    OptionDef::optional("events.num", OptionKind::Integer, "0", "How many events come in all; 0: no end."),
    OptionDef::optional(
        "first-event.rate",
        OptionKind::Integer,
        "10000",
        "Events per second of event time; of real time too with `rate.limited`.",
    ),
    OptionDef::optional(
        "next-event.rate",
        OptionKind::Integer,
        "",
        "Accepted if it equals `first-event.rate`: rates do not change.",
    ),
    OptionDef::optional(
        "rate.shape",
        OptionKind::OneOf(&["square", "sine"]),
        "square",
        "How the rate would change between `first-event.rate` and `next-event.rate`; they are equal.",
    ),
    OptionDef::optional("rate.period", OptionKind::Duration, "600 s", "How often the rate would change."),
    OptionDef::optional(
        "rate.limited",
        OptionKind::Boolean,
        "false",
        "Emit at `first-event.rate` instead of as fast as possible.",
    ),
    OptionDef::optional("person.proportion", OptionKind::Integer, "1", "People among the events."),
    OptionDef::optional("auction.proportion", OptionKind::Integer, "3", "Auctions among the events."),
    OptionDef::optional("bid.proportion", OptionKind::Integer, "46", "Bids among the events."),
    OptionDef::optional("person.avg-size", OptionKind::MemorySize, "200b", "Average size of a person."),
    OptionDef::optional("auction.avg-size", OptionKind::MemorySize, "500b", "Average size of an auction."),
    OptionDef::optional("bid.avg-size", OptionKind::MemorySize, "100b", "Average size of a bid."),
    OptionDef::optional(
        "bid.hot-ratio.auctions",
        OptionKind::Integer,
        "2",
        "One in so many bids is for an auction that is not hot.",
    ),
    OptionDef::optional(
        "bid.hot-ratio.bidders",
        OptionKind::Integer,
        "4",
        "One in so many bids is by a bidder who is not hot.",
    ),
    OptionDef::optional(
        "auction.hot-ratio.sellers",
        OptionKind::Integer,
        "4",
        "One in so many auctions is by a seller who is not hot.",
    ),
    OptionDef::optional(
        "num.inflight.auctions",
        OptionKind::Integer,
        "100",
        "How many of the last auctions get bids. An option of Flott's.",
    ),
    OptionDef::optional(
        "num.active.people",
        OptionKind::Integer,
        "1000",
        "How many of the last people bid and sell. An option of Flott's.",
    ),
    OptionDef::optional(
        "out-of-order.group.size",
        OptionKind::Integer,
        "1",
        "Event times are shuffled within groups of so many events. An option of Flott's.",
    ),
    OptionDef::optional(
        "base-time",
        OptionKind::Integer,
        "1767225600000",
        "Event time of the first event, milliseconds since 1970-01-01. An option of Flott's; Flink takes the time of the start.",
    ),
    SEED_OPTION,
];

/// What the options say.
#[derive(Debug)]
pub(super) struct Settings {
    /// Events in all, if there is an end.
    pub(super) events: Option<u64>,
    /// Events per second.
    pub(super) rate: u64,
    pub(super) is_rate_limited: bool,
    people: u64,
    auctions: u64,
    /// People, auctions and bids in one round.
    round: u64,
    pub(super) person_bytes: usize,
    pub(super) auction_bytes: usize,
    pub(super) bid_bytes: usize,
    pub(super) hot_auctions: u64,
    pub(super) hot_bidders: u64,
    pub(super) hot_sellers: u64,
    pub(super) auctions_in_flight: i64,
    pub(super) active_people: i64,
    group: u64,
    base_millis: i64,
    /// One seed per [`Draw`].
    pub(super) draw_seeds: [u64; DRAWS],
}

impl Settings {
    /// Reads the options; every problem is reported.
    pub(super) fn read(options: &Options, errors: &mut Vec<Box<Diagnostic>>) -> Self {
        let mut reader = Reader { options, errors };
        let rate = reader.at_least("first-event.rate", 10_000, 1);
        if reader.at_least("next-event.rate", rate, 1) != rate {
            let error = Diagnostic::not_supported("a 'next-event.rate' that differs from 'first-event.rate'");
            reader.errors.push(error.at(options.span("next-event.rate")));
        }
        let seed = reader.integer("seed", 0, i64::MIN).cast_unsigned();
        let people = reader.at_least("person.proportion", 1, 1);
        let auctions = reader.at_least("auction.proportion", 3, 1);
        let bids = reader.at_least("bid.proportion", 46, 0);
        let events = reader.at_least("events.num", 0, 0);
        Self {
            events: (events > 0).then_some(events),
            rate,
            // A malformed boolean has been reported with the other options' kinds.
            is_rate_limited: options.boolean("rate.limited").ok().flatten().unwrap_or(false),
            people,
            auctions,
            round: people + auctions + bids,
            person_bytes: reader.size("person.avg-size", 200),
            auction_bytes: reader.size("auction.avg-size", 500),
            bid_bytes: reader.size("bid.avg-size", 100),
            hot_auctions: reader.at_least("bid.hot-ratio.auctions", 2, 1),
            hot_bidders: reader.at_least("bid.hot-ratio.bidders", 4, 1),
            hot_sellers: reader.at_least("auction.hot-ratio.sellers", 4, 1),
            auctions_in_flight: reader.integer("num.inflight.auctions", 100, 1),
            active_people: reader.integer("num.active.people", 1000, 1),
            group: reader.at_least("out-of-order.group.size", 1, 1),
            base_millis: reader.integer("base-time", BASE_MILLIS_DEFAULT, -100_000_000_000_000),
            draw_seeds: std::array::from_fn(|draw| random::at(seed, draw as u64)),
        }
    }

    /// What happens in event `n`: in every round people first, then auctions, then bids.
    pub(super) fn kind(&self, n: u64) -> Kind {
        match n % self.round {
            place if place < self.people => Kind::Person,
            place if place < self.people + self.auctions => Kind::Auction,
            _ => Kind::Bid,
        }
    }

    /// The last person registered by event `n`, counted from 0.
    pub(super) fn last_person(&self, n: u64) -> i64 {
        let place = (n % self.round).min(self.people - 1);
        (n / self.round).saturating_mul(self.people).saturating_add(place).min(ID_MAX) as i64
    }

    /// The last auction opened by event `n`, counted from 0.
    pub(super) fn last_auction(&self, n: u64) -> i64 {
        let opened = match (n % self.round).checked_sub(self.people) {
            None => 0,
            Some(place) => (place + 1).min(self.auctions),
        };
        let all = (n / self.round).saturating_mul(self.auctions).saturating_add(opened);
        all.saturating_sub(1).min(ID_MAX) as i64
    }

    /// Event time of event `n`, milliseconds since the epoch.
    pub(super) fn millis(&self, n: u64) -> i64 {
        let n = if self.group > 1 {
            // 953 is prime: every place of a group is taken once unless its size is a multiple.
            n / self.group * self.group + n.wrapping_mul(953) % self.group
        } else {
            n
        };
        let passed = u128::from(n) * 1000 / u128::from(self.rate);
        self.base_millis.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX))
    }

    /// After so many events all auctions in flight are others.
    pub(super) fn events_until_replaced(&self) -> u64 {
        self.auctions_in_flight.cast_unsigned().saturating_mul(self.round) / self.auctions
    }
}

/// Ids stop growing here, far from the end of BIGINT.
const ID_MAX: u64 = 1 << 62;

struct Reader<'a> {
    options: &'a Options,
    errors: &'a mut Vec<Box<Diagnostic>>,
}

impl Reader<'_> {
    fn integer(&mut self, key: &str, default: i64, least: i64) -> i64 {
        let parse = |text: &str| match text.trim().parse::<i64>() {
            Ok(value) if value >= least && value <= i64::MAX >> 8 => Ok(value),
            Ok(value) if value < least => Err(format!("expected at least {least}")),
            Ok(_) => Err("too large".to_string()),
            Err(_) => Err("expected a whole number".to_string()),
        };
        self.options
            .parsed(key, parse)
            .unwrap_or_else(|error| {
                self.errors.push(error);
                None
            })
            .unwrap_or(default)
    }

    fn at_least(&mut self, key: &str, default: u64, least: u64) -> u64 {
        self.integer(key, default.cast_signed(), least.cast_signed()).max(0).cast_unsigned()
    }

    fn size(&mut self, key: &str, default: u64) -> usize {
        let bytes = self.options.memory_size(key).ok().flatten().unwrap_or(default);
        if bytes > EVENT_BYTES_MAX {
            let message = format!("option '{key}': expected at most {} kb", EVENT_BYTES_MAX >> 10);
            self.errors.push(Diagnostic::error(Code::InvalidOption, message).at(self.options.span(key)));
        }
        bytes.min(EVENT_BYTES_MAX) as usize
    }
}
