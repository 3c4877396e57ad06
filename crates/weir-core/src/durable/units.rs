//! The parts of a chunk.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::media::Media;

/// The first `count` units of a chunk: values of JSON, else bytes. `None` where it has fewer.
pub fn first_units(media: Media, chunk: &Bytes, count: u64) -> Option<Bytes> {
    let count = usize::try_from(count).ok()?;
    match media {
        Media::Text | Media::Bytes => (count <= chunk.len()).then(|| chunk.slice(..count)),
        Media::Json => first_values(chunk, count),
    }
}

fn first_values(chunk: &[u8], count: usize) -> Option<Bytes> {
    let array = [b"[", chunk, b"]"].concat();
    let values: Vec<&RawValue> = serde_json::from_slice(&array).ok()?;
    let texts: Vec<_> = values.get(..count)?.iter().map(|value| value.get()).collect();
    Some(texts.join(",").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_text() {
        let chunk = Bytes::from_static(br#"{"a": [1,2]},"x,]",1.0e5"#);
        let first = |count| first_units(Media::Json, &chunk, count);
        assert_eq!(first(1).unwrap(), r#"{"a": [1,2]}"#);
        assert_eq!(first(2).unwrap(), r#"{"a": [1,2]},"x,]""#);
        assert_eq!(first(3).unwrap(), chunk);
        assert_eq!(first(4), None);
        assert_eq!(first(u64::MAX), None);
    }

    #[test]
    fn bytes_are_counted() {
        let chunk = Bytes::from_static("aä".as_bytes());
        assert_eq!(first_units(Media::Text, &chunk, 2).unwrap(), chunk[..2]);
        assert_eq!(first_units(Media::Bytes, &chunk, 3).unwrap(), chunk);
        assert_eq!(first_units(Media::Bytes, &chunk, 4), None);
    }
}
