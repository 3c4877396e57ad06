//! What documents have their readers do with secrets.

use std::fs;

use weir_testkit::page::root;

use super::links::pages;

/// Others who use the machine can read what a shell writes, unless it is told otherwise, and see what a program is called with.
#[test]
fn are_shown_to_no_other_user_of_the_machine() {
    let (mut made, mut faults) = (0, Vec::new());
    for page in pages() {
        let name = page.strip_prefix(root()).unwrap_or(&page).display().to_string();
        // Those of deploy/ are for containers, which have no other users.
        if !name.starts_with("docs/") {
            continue;
        }
        for line in fs::read_to_string(&page).expect("a page").lines() {
            let makes = line.contains("> weir.secret");
            made += usize::from(makes);
            if (makes && !line.contains("umask 077"))
                || (line.contains("weir ") && line.contains("--token \"$"))
            {
                faults.push(format!("{name}: {line}"));
            }
        }
    }
    assert!(made >= 3 && faults.is_empty(), "{made} secrets made, {faults:#?}");
}
