//! "Did you mean": the nearest of the words that are known.

use strsim::osa_distance;

/// Returns the known word that is nearest to `word`, if it is near enough to be meant.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let written = word.to_lowercase();
    let letters = written.chars().count();
    let limit = (letters / 3).max(1);
    known
        .into_iter()
        .filter_map(|candidate| {
            let candidate_letters = candidate.chars().count();
            if candidate_letters.abs_diff(letters) > limit {
                return None;
            }
            let distance = osa_distance(&written, &candidate.to_lowercase());
            (distance <= limit).then_some((distance, candidate))
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Returns ``did you mean `x`? `` before a hint, or the hint alone.
pub(super) fn did_you_mean<'k>(word: &str, known: impl IntoIterator<Item = &'k str>, hint: &str) -> String {
    match nearest(word, known) {
        Some(found) => format!("did you mean `{found}`? {hint}"),
        None => hint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_word_is_suggested_and_a_far_one_is_not() {
        let known = ["name", "labels", "lock_timeout", "Größe"];
        for (word, meant) in [
            ("label", Some("labels")),
            ("lables", Some("labels")),
            ("NAME", Some("name")),
            ("nmae", Some("name")),
            ("lock-timeout", Some("lock_timeout")),
            ("Grösse", Some("Größe")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }
}
