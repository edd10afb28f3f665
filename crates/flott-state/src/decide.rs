//! The decisions of the checkpoint protocol, without any I/O.
//!
//! ```text
//!   number   1      2         3         4      5
//!          claim  manifest  manifest  claim  manifest        what a listing shows
//!                 confirmed
//!                     ▲                 ▲       ▲
//!          tip after claim 4: 3, decided but unconfirmed      5 is later than mine = 1: stop
//! ```
//! The protocol: a run *claims* the next number of the sequence, which fences every older run,
//! because an older run's next manifest meets the claim. Then it asks what is decided.

use std::collections::{BTreeMap, BTreeSet};

/// What lies under a number of the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// A run's claim; the number is its generation.
    Claim,
    /// A checkpoint's manifest.
    Manifest,
    /// Something that cannot be read any more. It counts as a manifest: its number is taken.
    Damaged,
}

/// The sequence as a run found it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// What lies under each number. Retention leaves gaps; number 0, the empty job, is never there.
    pub objects: BTreeMap<u64, Object>,
    /// The numbers with a mark that says confirmed.
    pub confirmed: BTreeSet<u64>,
}

impl Listing {
    /// The highest number in use; 0 if none is.
    pub fn last(&self) -> u64 {
        self.objects.keys().next_back().copied().unwrap_or(0)
    }

    /// The newest claim above a number.
    pub fn claim_above(&self, number: u64) -> Option<u64> {
        let above = self.objects.range(number.saturating_add(1)..);
        above.rev().find(|(_, object)| **object == Object::Claim).map(|(number, _)| *number)
    }

    fn manifests(&self) -> impl DoubleEndedIterator<Item = u64> + '_ {
        self.objects.iter().filter(|(_, object)| **object != Object::Claim).map(|(number, _)| *number)
    }
}

/// Whether a claim that was just written holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing lies above it.
    Stands,
    /// A newer run has claimed this number.
    Superseded(u64),
    /// Only manifests lie above it: its number was one that retention had freed, and it fences
    /// nobody. Claim again.
    Useless,
}

/// Whether a claim that was just written holds, by a listing made after it.
pub fn standing(listing: &Listing, mine: u64) -> Standing {
    match listing.claim_above(mine) {
        Some(newer) => Standing::Superseded(newer),
        None if listing.last() > mine => Standing::Useless,
        None => Standing::Stands,
    }
}

/// What the job's deciding sink says, if it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// No sink decides: a manifest is decided once it is written.
    NotNeeded,
    /// The number in the sink's last commit, or nothing if it has none.
    Of(Option<u64>),
}

/// What a run that has claimed shall do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A newer run has claimed this number: stop, touch nothing.
    Superseded(u64),
    /// Nothing is decided yet: begin at the start, ignoring these manifests.
    Fresh {
        /// Manifests that never were decided and never will be.
        discard: Vec<u64>,
    },
    /// Go on from this manifest.
    Resume {
        /// Its number.
        tip: u64,
        /// Whether its repeatable commits must be done again, and then its mark.
        finish: bool,
        /// Manifests above it, which never will be decided.
        discard: Vec<u64>,
    },
    /// The token, or the manifest it names, was lost. Only a person can help.
    Lost(String),
}

/// What a run that claimed `mine` shall do, by a listing made after the token was read.
pub fn decide(listing: &Listing, token: Token, mine: u64) -> Decision {
    if let Some(newer) = listing.claim_above(mine) {
        return Decision::Superseded(newer);
    }
    let confirmed = listing.confirmed.last().copied().unwrap_or(0);
    let highest = listing.manifests().next_back().unwrap_or(0);
    let decided = match token {
        Token::NotNeeded if highest < confirmed => {
            return Decision::Lost(format!(
                "checkpoint {confirmed} is marked as confirmed, but its manifest is gone"
            ));
        }
        Token::NotNeeded => highest,
        Token::Of(None) if highest == 0 && confirmed == 0 => 0,
        Token::Of(None) => {
            return Decision::Lost(format!(
                "the sink has no token, but the job has run up to checkpoint {highest}"
            ));
        }
        Token::Of(Some(token)) => token,
    };
    if decided < confirmed {
        return Decision::Lost(format!(
            "the sink's last commit is that of checkpoint {decided}, but checkpoint {confirmed} is confirmed"
        ));
    }
    let discard: Vec<u64> = listing.manifests().filter(|number| *number > decided).collect();
    if decided == 0 {
        return Decision::Fresh { discard };
    }
    if !listing.manifests().any(|number| number == decided) {
        return Decision::Lost(format!(
            "the sink's last commit is that of checkpoint {decided}, whose manifest is gone"
        ));
    }
    Decision::Resume { tip: decided, finish: decided > confirmed, discard }
}

/// Which manifests may go once `tip` is confirmed: all below it but the newest confirmed ones,
/// `retained` of them with the tip. Never one above the tip: it may be pending.
pub fn expired(listing: &Listing, tip: u64, retained: usize) -> Vec<u64> {
    let below = || listing.manifests().rev().filter(|number| *number < tip);
    let kept: BTreeSet<u64> =
        below().filter(|number| listing.confirmed.contains(number)).take(retained.max(1) - 1).collect();
    below().filter(|number| !kept.contains(number)).collect()
}

/// Whether the run of a generation may delete a segment that no kept manifest names: it belongs to
/// an older run, all of whose numbers are decided, or to this run and lies not above its tip.
pub fn may_sweep(generation: u64, tip: u64, segment: (u64, u64)) -> bool {
    let (owner, number) = segment;
    owner < generation || owner == generation && number <= tip
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `c` claim, `m` manifest, `M` confirmed manifest, `x` damaged, `.` removed; from number 1 on.
    fn listing(text: &str) -> Listing {
        let mut listing = Listing::default();
        for (number, letter) in (1..).zip(text.chars()) {
            let object = match letter {
                'c' => Object::Claim,
                'm' | 'M' => Object::Manifest,
                'x' => Object::Damaged,
                _ => continue,
            };
            listing.objects.insert(number, object);
            if letter == 'M' {
                listing.confirmed.insert(number);
            }
        }
        listing
    }

    fn resume(tip: u64, finish: bool, discard: &[u64]) -> Decision {
        Decision::Resume { tip, finish, discard: discard.to_vec() }
    }

    /// The table of the protocol, line by line.
    #[test]
    fn what_the_token_says() {
        let token = |token| Token::Of(Some(token));
        // A claim above mine.
        assert_eq!(decide(&listing("cMc"), token(2), 1), Decision::Superseded(3));
        // All that is decided is confirmed.
        assert_eq!(decide(&listing("cMc"), token(2), 3), resume(2, false, &[]));
        // Decided, not confirmed.
        assert_eq!(decide(&listing("cMmc"), token(3), 4), resume(3, true, &[]));
        // Manifests above the token never were decided: the token isn't always one less.
        assert_eq!(decide(&listing("cMmcmmc"), token(2), 7), resume(2, false, &[3, 5, 6]));
        assert_eq!(decide(&listing("cmc"), token(0), 3), Decision::Fresh { discard: vec![2] });
        // Token or manifests were lost.
        for (text, token) in
            [("cMc", token(1)), ("cMc", token(0)), ("c.c", token(2)), ("cMc", Token::Of(None))]
        {
            assert!(matches!(decide(&listing(text), token, 3), Decision::Lost(_)), "{text} {token:?}");
        }
        assert_eq!(decide(&listing("c"), Token::Of(None), 1), Decision::Fresh { discard: vec![] });
        // A job without a deciding sink: the highest manifest is decided.
        assert_eq!(decide(&listing("cMmc"), Token::NotNeeded, 4), resume(3, true, &[]));
        assert_eq!(decide(&listing("cMc"), Token::NotNeeded, 3), resume(2, false, &[]));
        assert_eq!(decide(&listing("ccc"), Token::NotNeeded, 3), Decision::Fresh { discard: vec![] });
    }

    #[test]
    fn a_claim_under_a_freed_number_fences_nobody() {
        assert_eq!(standing(&listing("cMc"), 3), Standing::Stands);
        assert_eq!(standing(&listing("ccM"), 2), Standing::Useless);
        assert_eq!(standing(&listing("ccMc"), 2), Standing::Superseded(4));
    }

    #[test]
    fn retention_keeps_the_newest_confirmed_ones_and_whatever_is_pending() {
        assert_eq!(expired(&listing("cMMmcMm"), 6, 1), [4, 3, 2]);
        assert_eq!(expired(&listing("cMMmcMm"), 6, 2), [4, 2]);
        assert_eq!(expired(&listing("cMMxcMm"), 6, 3), [4]);
        assert!(!may_sweep(5, 6, (6, 1)) && !may_sweep(5, 6, (5, 7)));
        assert!(may_sweep(5, 6, (5, 6)) && may_sweep(5, 6, (1, 9)));
    }

    /// Every sequence of up to seven numbers, every token, every claim: the rules that must hold
    /// whatever is found.
    #[test]
    fn every_small_listing_is_decided_safely() {
        let letters = ['c', 'm', 'M', '.', 'x'];
        for length in 0..=7_u32 {
            for code in 0..5_usize.pow(length) {
                let text: String = (0..length).map(|at| letters[code / 5_usize.pow(at) % 5]).collect();
                let listing = listing(&text);
                let tokens = (0..=u64::from(length)).map(|token| Token::Of(Some(token)));
                for token in tokens.chain([Token::NotNeeded, Token::Of(None)]) {
                    for mine in 1..=u64::from(length) {
                        check(&listing, token, mine);
                    }
                }
            }
        }
    }

    fn check(listing: &Listing, token: Token, mine: u64) {
        let confirmed = listing.confirmed.last().copied().unwrap_or(0);
        let newer = listing.objects.iter().any(|(n, object)| *n > mine && *object == Object::Claim);
        let decision = decide(listing, token, mine);
        assert_eq!(newer, matches!(decision, Decision::Superseded(_)), "{listing:?}");
        match decision {
            Decision::Superseded(_) | Decision::Lost(_) => {}
            // Nothing confirmed is ever forgotten, nothing undecided ever finished.
            Decision::Fresh { .. } => assert_eq!(confirmed, 0, "{listing:?} {token:?}"),
            Decision::Resume { tip, finish, discard } => {
                assert!(tip >= confirmed && finish == (tip > confirmed), "{listing:?} {token:?}");
                assert!(matches!(listing.objects.get(&tip), Some(Object::Manifest | Object::Damaged)));
                assert!(discard.iter().all(|number| *number > tip));
                assert!(token == Token::NotNeeded || token == Token::Of(Some(tip)));
                for retained in 1..4 {
                    let expired = expired(listing, tip, retained);
                    assert!(expired.iter().all(|number| *number < tip));
                    assert!(expired.iter().all(|number| listing.objects.get(number) != Some(&Object::Claim)));
                }
            }
        }
    }
}
