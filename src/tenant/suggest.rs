//! "Did you mean": the nearest of the words that are known.

/// Returns the known word that is nearest to `word`, if it is near enough to be meant.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let written: Vec<char> = word.to_lowercase().chars().collect();
    let limit = (written.len() / 3).max(1);
    known
        .into_iter()
        .filter_map(|candidate| {
            let chars: Vec<char> = candidate.to_lowercase().chars().collect();
            let near = chars.len().abs_diff(written.len()) <= limit;
            let distance = if near { distance(&written, &chars) } else { usize::MAX };
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

/// Counts the insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let replaced = last[j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[to.len()]
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
