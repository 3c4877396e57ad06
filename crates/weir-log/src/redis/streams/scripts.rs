//! What runs within Redis for durable streams, each as one step that nothing can come between.

use super::super::scripts::Script;

macro_rules! script {
    ($($file:literal)*) => {
        Script::new(concat!(
            include_str!("../lua/rights.lua"),
            include_str!("../lua/streams/head.lua"),
            $(include_str!(concat!("../lua/streams/", $file, ".lua")),)*
        ))
    };
}

/// Makes a stream.
pub(super) static CREATE: Script = script!("life" "parts" "wake" "remove" "create");
/// Appends a chunk, closes a stream.
pub(super) static APPEND: Script = script!("life" "wake" "append");
/// Reads chunks.
pub(super) static READ: Script = script!("parts" "read");
/// Tells what is known of a stream.
pub(super) static TELL: Script = script!("tell");
/// Tells where ends of streams are.
pub(super) static LOOK: Script = script!("look");
/// Deletes a stream.
pub(super) static DELETE: Script = script!("wake" "remove" "delete");
/// Removes streams that have expired.
pub(super) static SWEEP: Script = script!("wake" "remove" "sweep");
/// Announces what was appended shortly after another announcement.
pub(super) static ANNOUNCE: Script = script!("wake" "announce");
