//! Strings in quotes, escaped as Jackson does: `\"`, `\\`, `\b \t \n \f \r`, other control
//! characters as `\u001F`; everything else as it is, except that Jackson's writer of UTF-8 spells
//! characters beyond U+FFFF as two `\u` escapes ([`Wide::Escaped`]).

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// How characters beyond U+FFFF are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wide {
    /// `\uD83D\uDE00`
    Escaped,
    /// As they are.
    Plain,
}

/// Appends `text` in double quotes.
#[inline]
pub(super) fn append_string(text: &[u8], wide: Wide, out: &mut Vec<u8>) {
    let lowest_wide = if wide == Wide::Escaped { 0xF0 } else { 0xFF };
    out.reserve(text.len() + 2);
    out.push(b'"');
    let clean = clean_prefix(text, lowest_wide);
    append_short(&text[..clean], out);
    if clean < text.len() {
        append_specials(&text[clean..], lowest_wide, out);
    }
    out.push(b'"');
}

/// Appends text of 16 to 32 bytes as two pieces of fixed length that overlap, other text by a call.
#[inline(always)]
fn append_short(text: &[u8], out: &mut Vec<u8>) {
    match (text.first_chunk::<16>(), text.last_chunk::<16>()) {
        (Some(first), Some(last)) if text.len() <= 32 => {
            let start = out.len();
            out.extend_from_slice(first);
            out.truncate(start + text.len() - 16);
            out.extend_from_slice(last);
        }
        _ => out.extend_from_slice(text),
    }
}

/// Appends text that starts with something to be escaped.
#[inline(never)]
fn append_specials(mut text: &[u8], lowest_wide: u8, out: &mut Vec<u8>) {
    while let Some(&special) = text.first() {
        let used = if special >= 0xF0 { append_wide(text, out) } else { append_escape(special, out) };
        text = text.get(used..).unwrap_or_default();
        let clean = clean_prefix(text, lowest_wide);
        out.extend_from_slice(&text[..clean]);
        text = &text[clean..];
    }
}

fn append_wide(text: &[u8], out: &mut Vec<u8>) -> usize {
    let bytes = text.get(..4).unwrap_or_default();
    let Some(wide) = std::str::from_utf8(bytes).ok().and_then(|text| text.chars().next()) else {
        out.extend_from_slice(text.get(..1).unwrap_or_default());
        return 1;
    };
    for unit in wide.encode_utf16(&mut [0; 2]) {
        let digit = |shift: u32| HEX[usize::from((*unit >> shift) & 15)];
        out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
    }
    4
}

fn append_escape(special: u8, out: &mut Vec<u8>) -> usize {
    let short = match special {
        b'"' | b'\\' => special,
        8 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        12 => b'f',
        b'\r' => b'r',
        _ => {
            let (high, low) = (HEX[usize::from(special >> 4)], HEX[usize::from(special & 15)]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            return 1;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
    1
}

/// How many bytes at the start of `text` need no escape. `lowest_wide`: bytes from here on do
/// (0xFF never stands in UTF-8).
#[inline(always)]
fn clean_prefix(text: &[u8], lowest_wide: u8) -> usize {
    let mut at = 0;
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{
            _mm_cmpeq_epi8, _mm_loadu_si128, _mm_max_epu8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
            _mm_set1_epi8,
        };
        // SAFETY: SSE2 belongs to every x86_64. Each load reads 16 bytes from `at`, which the
        // conditions keep within the slice.
        unsafe {
            let specials = |at: usize| {
                let block = _mm_loadu_si128(text.as_ptr().add(at).cast());
                let quote = _mm_cmpeq_epi8(block, _mm_set1_epi8(b'"' as i8));
                let backslash = _mm_cmpeq_epi8(block, _mm_set1_epi8(b'\\' as i8));
                let control = _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1F)), block);
                let wide = _mm_cmpeq_epi8(_mm_max_epu8(block, _mm_set1_epi8(lowest_wide as i8)), block);
                let marks = _mm_or_si128(_mm_or_si128(quote, backslash), _mm_or_si128(control, wide));
                _mm_movemask_epi8(marks) as u32
            };
            while at + 16 <= text.len() {
                let mask = specials(at);
                if mask != 0 {
                    return at + mask.trailing_zeros() as usize;
                }
                at += 16;
            }
            if at < text.len() && text.len() >= 16 {
                // The last block overlaps the one before, which was clean.
                let start = text.len() - 16;
                let mask = specials(start);
                return if mask != 0 { start + mask.trailing_zeros() as usize } else { text.len() };
            }
        }
    }
    let clean = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\' && *byte < lowest_wide;
    while text.get(at).is_some_and(clean) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::{Wide, append_string};

    #[test]
    fn escapes_as_jackson() {
        let mut out = Vec::new();
        append_string("q\"b\\s/\u{1}\t\n\r\u{8}\u{c}\u{1f}\u{7f}é<>&'😀".as_bytes(), Wide::Escaped, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\"q\\\"b\\\\s/\\u0001\\t\\n\\r\\b\\f\\u001F\u{7f}é<>&'\\uD83D\\uDE00\""
        );
    }

    #[test]
    fn a_special_character_anywhere() {
        for length in 0..70 {
            for place in 0..length {
                let mut text = vec![b'x'; length];
                text[place] = b'"';
                let mut out = Vec::new();
                append_string(&text, Wide::Escaped, &mut out);
                assert_eq!(serde_json::from_slice::<String>(&out).unwrap().as_bytes(), text);
            }
        }
    }
}
