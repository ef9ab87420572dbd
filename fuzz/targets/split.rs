//! SQL cut into statements, for both engines; for SQLite beside its own `sqlite3_complete`.
#![no_main]

use std::ffi::CString;

use libfuzzer_sys::fuzz_target;
use prelaunch::{engine::Engine, script::pieces};

fuzz_target!(|text: &str| {
    for engine in Engine::ALL {
        let cut = pieces(engine, text);
        let joined: String = cut.iter().map(|piece| &text[piece.clone()]).collect();
        assert_eq!(joined, text, "the pieces are a partition");
        for (at, piece) in cut.iter().enumerate() {
            assert!(!piece.is_empty());
            let (piece, is_last) = (&text[piece.clone()], at + 1 == cut.len());
            assert!(is_last || piece.ends_with(';'));
            assert_eq!(pieces(engine, piece), [0..piece.len()], "a piece is one piece: {piece:?}");
            if engine == Engine::Sqlite {
                as_sqlite_has_it(piece, is_last);
            }
        }
    }
});

/// SQLite finds a piece complete, and nothing shorter that ends in a semicolon.
fn as_sqlite_has_it(piece: &str, is_last: bool) {
    // `EXPLAIN CREATE TRIGGER` is not looked for: nobody migrates with it. A NUL ends the text for
    // SQLite, and a vertical tab is a blank in one half of it and an error in the other.
    let explains = piece.to_ascii_uppercase().contains("EXPLAIN");
    if explains || piece.contains(['\0', '\u{b}']) {
        return;
    }
    let is_complete = |text: &str| {
        let text = CString::new(text).unwrap();
        // SAFETY: it reads a text that ends in a NUL, and keeps nothing of it.
        unsafe { libsqlite3_sys::sqlite3_complete(text.as_ptr()) == 1 }
    };
    assert!(is_last || is_complete(piece), "SQLite finds no end in {piece:?}");
    for (at, _) in piece.match_indices(';').filter(|(at, _)| at + 1 < piece.len()) {
        assert!(!is_complete(&piece[..=at]), "SQLite finds an end after {:?}", &piece[..=at]);
    }
}
