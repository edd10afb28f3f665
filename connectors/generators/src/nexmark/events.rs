//! The fields of each kind of event, each a function of the event's number.
//!
//! Every field draws from a stream of its own, so a field that isn't read costs nothing and
//! changes nothing. Where a field depends on another (`extra` fills up to an average size), it
//! makes the other's length again.

use flott_types::{DataType, TypeKind};

use super::Settings;
use crate::random::{self, Stream};

/// What happens in an event; the value of `event_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Person = 0,
    Auction = 1,
    Bid = 2,
}

/// How a field's value comes from the number of its event.
#[derive(Debug, Clone, Copy)]
pub(super) enum Generate {
    /// BIGINT
    Number(fn(&Settings, u64) -> i64),
    /// TIMESTAMP(3), milliseconds
    Time(fn(&Settings, u64) -> i64),
    /// STRING, appended
    Text(fn(&Settings, u64, &mut Vec<u8>)),
}

impl Generate {
    /// The field's type.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Generate::Number(_) => DataType::bigint(),
            Generate::Time(_) => TypeKind::Timestamp(3).into(),
            Generate::Text(_) => DataType::string(),
        }
    }
}

/// A field of an event.
#[derive(Debug)]
pub(super) struct FieldDef {
    pub(super) name: &'static str,
    pub(super) generate: Generate,
}

const fn number(name: &'static str, make: fn(&Settings, u64) -> i64) -> FieldDef {
    FieldDef { name, generate: Generate::Number(make) }
}
const fn time(name: &'static str, make: fn(&Settings, u64) -> i64) -> FieldDef {
    FieldDef { name, generate: Generate::Time(make) }
}
const fn text(name: &'static str, make: fn(&Settings, u64, &mut Vec<u8>)) -> FieldDef {
    FieldDef { name, generate: Generate::Text(make) }
}

/// The fields of `person`.
pub(super) const PERSON: &[FieldDef] = &[
    number("id", |it, n| FIRST_PERSON_ID + it.last_person(n)),
    text("name", person_name),
    text("emailAddress", email),
    text("creditCard", credit_card),
    text("city", |it, n, out| pick(out, CITIES, it.random(Draw::City, n))),
    text("state", |it, n, out| pick(out, STATES, it.random(Draw::State, n))),
    time("dateTime", Settings::millis),
    text("extra", person_extra),
];

/// The fields of `auction`.
pub(super) const AUCTION: &[FieldDef] = &[
    number("id", |it, n| FIRST_AUCTION_ID + it.last_auction(n)),
    text("itemName", |it, n, out| words(out, it.stream(Draw::ItemName, n), ITEM_NAME_MAX)),
    text("description", |it, n, out| words(out, it.stream(Draw::Description, n), DESCRIPTION_MAX)),
    number("initialBid", |it, n| price(it.random(Draw::InitialBid, n))),
    number("reserve", |it, n| price(it.random(Draw::InitialBid, n)) + price(it.random(Draw::Reserve, n))),
    time("dateTime", Settings::millis),
    time("expires", expires),
    number("seller", seller),
    number("category", |it, n| {
        FIRST_CATEGORY_ID + random::below(it.random(Draw::Category, n), CATEGORIES) as i64
    }),
    text("extra", auction_extra),
];

/// The fields of `bid`.
pub(super) const BID: &[FieldDef] = &[
    number("auction", bid_auction),
    number("bidder", bidder),
    number("price", |it, n| price(it.random(Draw::Price, n))),
    text("channel", |it, n, out| channel(it.stream(Draw::Channel, n).next(), out)),
    text("url", |it, n, out| url(it.stream(Draw::Channel, n).next(), out)),
    time("dateTime", Settings::millis),
    // Four numbers and times of eight bytes.
    text("extra", |it, n, out| extra(out, it.stream(Draw::BidExtra, n), 32, it.bid_bytes)),
];

const FIRST_PERSON_ID: i64 = 1000;
const FIRST_AUCTION_ID: i64 = 1000;
const FIRST_CATEGORY_ID: i64 = 10;
const CATEGORIES: u64 = 5;
/// Ids that far ahead of the last one are used too: as if some events were swapped in time.
const ID_LEAD: i64 = 10;
/// One in so many people and auctions is hot.
const HOT_EVERY: i64 = 100;
const ITEM_NAME_MAX: u64 = 20;
const DESCRIPTION_MAX: u64 = 100;
const WORDS_MIN: u64 = 3;
/// Channels besides the hot ones.
const CHANNELS: u64 = 10_000;

const STATES: &[&str] = &["AZ", "CA", "ID", "OR", "WA", "WY"];
const CITIES: &[&str] = &[
    "Phoenix",
    "Los Angeles",
    "San Francisco",
    "Boise",
    "Portland",
    "Bend",
    "Redmond",
    "Seattle",
    "Kent",
    "Cheyenne",
];
const FIRST_NAMES: &[&str] =
    &["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: &[&str] =
    &["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const HOT_CHANNELS: &[&str] = &["Google", "Facebook", "Baidu", "Apple"];

/// What a stream of random numbers is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Draw {
    Name,
    Email,
    CreditCard,
    City,
    State,
    PersonExtra,
    ItemName,
    Description,
    InitialBid,
    Reserve,
    Expires,
    Seller,
    Category,
    AuctionExtra,
    BidAuction,
    Bidder,
    Price,
    Channel,
    BidExtra,
}

impl Settings {
    fn random(&self, draw: Draw, n: u64) -> u64 {
        random::at(self.draw_seeds[draw as usize], n)
    }
    fn stream(&self, draw: Draw, n: u64) -> Stream {
        Stream::at(self.draw_seeds[draw as usize], n)
    }
    /// A person who is active around event `n`, counted from 0.
    fn any_person(&self, stream: &mut Stream, n: u64) -> i64 {
        let people = self.last_person(n) + 1;
        let active = people.min(self.active_people);
        people - active + stream.below((active + ID_LEAD).cast_unsigned()).cast_signed()
    }
    /// An auction that is open around event `n`, counted from 0.
    fn any_auction(&self, stream: &mut Stream, n: u64) -> i64 {
        let last = self.last_auction(n);
        let first = (last - self.auctions_in_flight).max(0);
        first + stream.below((last - first + 1 + ID_LEAD).cast_unsigned()).cast_signed()
    }
}

/// Hot with a chance of 1 - 1/ratio.
fn is_hot(stream: &mut Stream, ratio: u64) -> bool {
    stream.below(ratio) > 0
}

fn bid_auction(settings: &Settings, n: u64) -> i64 {
    let mut stream = settings.stream(Draw::BidAuction, n);
    let auction = if is_hot(&mut stream, settings.hot_auctions) {
        settings.last_auction(n) / HOT_EVERY * HOT_EVERY
    } else {
        settings.any_auction(&mut stream, n)
    };
    FIRST_AUCTION_ID + auction
}

fn bidder(settings: &Settings, n: u64) -> i64 {
    let mut stream = settings.stream(Draw::Bidder, n);
    let person = if is_hot(&mut stream, settings.hot_bidders) {
        // Not the hot seller, who is the one before.
        settings.last_person(n) / HOT_EVERY * HOT_EVERY + 1
    } else {
        settings.any_person(&mut stream, n)
    };
    FIRST_PERSON_ID + person
}

fn seller(settings: &Settings, n: u64) -> i64 {
    let mut stream = settings.stream(Draw::Seller, n);
    let person = if is_hot(&mut stream, settings.hot_sellers) {
        settings.last_person(n) / HOT_EVERY * HOT_EVERY
    } else {
        settings.any_person(&mut stream, n)
    };
    FIRST_PERSON_ID + person
}

/// From 1 to twice the time in which as many auctions open as are in flight.
fn expires(settings: &Settings, n: u64) -> i64 {
    let now = settings.millis(n);
    let ahead = settings.events_until_replaced();
    let horizon = settings.millis(n.saturating_add(ahead)).saturating_sub(now).max(0).cast_unsigned();
    let length = random::below(settings.random(Draw::Expires, n), horizon.saturating_mul(2).max(1));
    now.saturating_add(1).saturating_add_unsigned(length)
}

/// From 100 to 100,000,000, small ones as likely as large ones of the same number of digits.
fn price(random: u64) -> i64 {
    (10f64.powf(random::unit(random) * 6.0) * 100.0).round() as i64
}

fn pick(out: &mut Vec<u8>, words: &[&str], random: u64) {
    let i = random::below(random, words.len() as u64) as usize;
    out.extend_from_slice(words.get(i).copied().unwrap_or_default().as_bytes());
}

/// Some letters and spaces, at least [`WORDS_MIN`] and fewer than `most`.
fn words(out: &mut Vec<u8>, mut stream: Stream, most: u64) {
    let length = WORDS_MIN + stream.below(most - WORDS_MIN);
    let start = out.len();
    stream.bytes(out, length as usize, |byte| {
        let letter = ((u16::from(byte) * 28) >> 8) as u8;
        if letter < 26 { b'a' + letter } else { b' ' }
    });
    // No spaces at the ends, as Nexmark's own strings.
    for end in [Some(start), out.len().checked_sub(1)].into_iter().flatten() {
        if let Some(byte) = out.get_mut(end).filter(|byte| **byte == b' ') {
            *byte = b'x';
        }
    }
}

fn person_name(settings: &Settings, n: u64, out: &mut Vec<u8>) {
    let mut stream = settings.stream(Draw::Name, n);
    pick(out, FIRST_NAMES, stream.next());
    out.push(b' ');
    pick(out, LAST_NAMES, stream.next());
}

fn email(settings: &Settings, n: u64, out: &mut Vec<u8>) {
    let mut stream = settings.stream(Draw::Email, n);
    stream.letters(out, 7);
    out.push(b'@');
    stream.letters(out, 5);
    out.extend_from_slice(b".com");
}

fn credit_card(settings: &Settings, n: u64, out: &mut Vec<u8>) {
    let mut stream = settings.stream(Draw::CreditCard, n);
    for group in 0..4 {
        if group > 0 {
            out.push(b' ');
        }
        stream.bytes(out, 4, |byte| b'0' + ((u16::from(byte) * 10) >> 8) as u8);
    }
}

fn person_extra(settings: &Settings, n: u64, out: &mut Vec<u8>) {
    let start = out.len();
    for field in [person_name, email, credit_card] {
        field(settings, n, out);
    }
    pick(out, CITIES, settings.random(Draw::City, n));
    pick(out, STATES, settings.random(Draw::State, n));
    let have = 8 + out.len() - start;
    out.truncate(start);
    extra(out, settings.stream(Draw::PersonExtra, n), have, settings.person_bytes);
}

fn auction_extra(settings: &Settings, n: u64, out: &mut Vec<u8>) {
    let start = out.len();
    words(out, settings.stream(Draw::ItemName, n), ITEM_NAME_MAX);
    words(out, settings.stream(Draw::Description, n), DESCRIPTION_MAX);
    // Six numbers and times of eight bytes.
    let have = 48 + out.len() - start;
    out.truncate(start);
    extra(out, settings.stream(Draw::AuctionExtra, n), have, settings.auction_bytes);
}

/// As many letters as bring an event of `have` bytes to about `want`, a fifth more or less.
fn extra(out: &mut Vec<u8>, mut stream: Stream, have: usize, want: usize) {
    let gap = want.saturating_sub(have);
    let slack = gap / 5;
    let length = gap - slack + stream.below(2 * slack as u64) as usize;
    stream.letters(out, length);
}

/// The channel that a random number stands for: `Ok` a hot one, or a number.
fn channel_of(random: u64) -> Result<usize, u64> {
    let place = random::below(random, 2 * CHANNELS);
    match place.checked_sub(CHANNELS) {
        None => Err(place),
        Some(hot) => Ok((hot * HOT_CHANNELS.len() as u64 / CHANNELS) as usize),
    }
}

fn channel(random: u64, out: &mut Vec<u8>) {
    match channel_of(random) {
        Ok(hot) => out.extend_from_slice(HOT_CHANNELS.get(hot).copied().unwrap_or_default().as_bytes()),
        Err(channel) => {
            out.extend_from_slice(b"channel-");
            decimal(out, channel);
        }
    }
}

/// A channel has one address; nine in ten tell the channel's id.
fn url(random: u64, out: &mut Vec<u8>) {
    let (place, id) = match channel_of(random) {
        Ok(hot) => (CHANNELS + hot as u64, None),
        Err(channel) => {
            (channel, (channel % 10 != 0).then(|| u64::from((channel as u32).reverse_bits() >> 1)))
        }
    };
    let mut stream = Stream::at(0, place);
    out.extend_from_slice(b"https://www.nexmark.com/");
    for _ in 0..3 {
        stream.letters(out, 5);
        out.push(b'/');
    }
    out.extend_from_slice(b"item.htm?query=1");
    if let Some(id) = id {
        out.extend_from_slice(b"&channel_id=");
        decimal(out, id);
    }
}

fn decimal(out: &mut Vec<u8>, mut value: u64) {
    let start = out.len();
    loop {
        out.push(b'0' + (value % 10) as u8);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}
