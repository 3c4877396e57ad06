//! Columns of text.

/// Least columns that a text keeps when it is cut.
const LEAST: usize = 8;

/// Lays out rows, the first of which is the head. In a width that is too small, the cells of the columns `soft` are cut in
/// their middle.
pub(super) fn layout(rows: &[Vec<String>], soft: &[usize], width: Option<usize>) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let length =
        |column: usize| rows.iter().filter_map(move |row| row.get(column)).map(|cell| cell.chars().count());
    let mut widths: Vec<usize> =
        (0..columns).map(|column| length(column).max().unwrap_or_default()).collect();
    let gaps = 2 * columns.saturating_sub(1);
    while width.is_some_and(|width| widths.iter().sum::<usize>() + gaps > width) {
        let widest = soft.iter().copied().max_by_key(|column| widths[*column]);
        let Some(widest) = widest.filter(|column| widths[*column] > LEAST) else { break };
        widths[widest] -= 1;
    }
    rows.iter().map(|row| line(row, &widths)).collect()
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells = row.iter().zip(widths).map(|(cell, width)| format!("{:width$}", cut(cell, *width)));
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// What tells names of one kind apart stands at their end, so more of that is kept.
fn cut(text: &str, width: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= width {
        return text.to_owned();
    }
    let head = width / 3;
    let tail = width - head - 1;
    chars[..head].iter().chain(&['…']).chain(&chars[chars.len() - tail..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_cut_in_their_middle() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["NAME", "N", "X"]), row(["abcdefghijklmnop", "1", ""])];
        assert_eq!(layout(&rows, &[0], None), ["NAME              N  X", "abcdefghijklmnop  1"]);
        assert_eq!(layout(&rows, &[0], Some(17)), ["NAME         N  X", "abc…jklmnop  1"]);
        assert_eq!(layout(&rows, &[0], Some(3)), ["NAME      N  X", "ab…lmnop  1"]);
    }
}
