//! What this machine has already is not fetched again, whatever its name.

use std::{fs, os::unix::fs::FileExt, path::Path};

use tests::{
    corpus,
    member::{number, text},
    tree,
};

use crate::get::Pair;

const LARGE: usize = 5_000_000;
const GROUP: u64 = 16 * 1024;

fn write_film(folder: &Path, prefix: &str) {
    fs::create_dir_all(folder.join("stills")).unwrap();
    fs::write(folder.join(format!("{prefix}film.bin")), corpus::bytes(1, LARGE)).unwrap();
    for number in 0..70 {
        let still = folder.join(format!("stills/{prefix}{number}.bin"));
        fs::write(still, corpus::bytes(100 + number, 20_000)).unwrap();
    }
}

#[test]
fn a_folder_under_other_names_comes_from_this_machine_though_nobody_has_it_online() {
    let mut pair = Pair::start();
    let (first, second) = (pair.alice.desk().join("film"), pair.alice.desk().join("the same"));
    write_film(&first, "");
    write_film(&second, "again ");
    let first_id = pair.alice.share(&[&first], &[]);
    let second_id = pair.alice.share(&[&second], &[]);
    let size = LARGE as u64 + 70 * 20_000;
    let transfer = pair.get(&first_id);
    assert_eq!((number(&transfer, "bytes_peer"), number(&transfer, "bytes_local")), (size, 0), "{transfer}");
    pair.engine = None;
    let transfer = pair.get(&second_id);
    pair.assert_got(&transfer, &second);
    assert_eq!((number(&transfer, "bytes_peer"), number(&transfer, "bytes_local")), (0, size), "{transfer}");
    tree::assert_same(&first, &pair.bob.downloads().join("film"));
}

#[test]
fn equal_files_of_one_folder_are_fetched_once() {
    let pair = Pair::start();
    let folder = pair.alice.desk().join("doubles");
    fs::create_dir_all(folder.join("below")).unwrap();
    for name in ["a.bin", "b.bin", "below/c.bin"] {
        fs::write(folder.join(format!("small {}", name.replace('/', " "))), corpus::bytes(3, 70_000)).unwrap();
        fs::write(folder.join(name), corpus::bytes(4, LARGE)).unwrap();
    }
    for number in 0..3 {
        fs::write(folder.join(format!("empty {number}")), b"").unwrap();
    }
    let transfer = pair.get(&pair.alice.share(&[&folder], &[]));
    pair.assert_got(&transfer, &folder);
    let once = LARGE as u64 + 70_000;
    assert_eq!((number(&transfer, "bytes_peer"), number(&transfer, "bytes_local")), (once, 2 * once), "{transfer}");
}

#[test]
fn what_is_damaged_here_is_fetched_and_the_rest_is_not() {
    let pair = Pair::start();
    let first = pair.alice.write("one.bin", corpus::bytes(1, LARGE));
    let second = pair.alice.write("two.bin", corpus::bytes(1, LARGE));
    pair.get(&pair.alice.share(&[&first], &[]));
    let here = fs::File::options().write(true).open(pair.bob.downloads().join("one.bin")).unwrap();
    here.write_all_at(b"damaged", 7 * GROUP + 1).unwrap();
    let transfer = pair.get(&pair.alice.share(&[&second], &[]));
    pair.assert_got(&transfer, &second);
    let fetched = (number(&transfer, "bytes_peer"), number(&transfer, "bytes_local"));
    assert_eq!(fetched, (GROUP, LARGE as u64 - GROUP), "{transfer}");
}

#[test]
fn a_file_whose_copy_here_is_gone_is_fetched() {
    let pair = Pair::start();
    let first = pair.alice.write("one.bin", corpus::bytes(1, LARGE));
    let small = pair.alice.write("small one.bin", corpus::bytes(2, 5000));
    let (first_id, small_id) = (pair.alice.share(&[&first], &[]), pair.alice.share(&[&small], &[]));
    for id in [&first_id, &small_id] {
        let transfer = pair.get(id);
        fs::remove_file(text(&transfer, "path")).unwrap();
        let again = pair.get(id);
        assert_eq!(number(&again, "bytes_peer"), number(&again, "size"), "{again}");
    }
    tree::assert_same(&first, &pair.bob.downloads().join("one.bin"));
}

#[test]
fn a_new_version_costs_what_changed_at_its_place() {
    let pair = Pair::start();
    let path = pair.alice.write("book.bin", corpus::bytes(5, LARGE));
    let id = pair.alice.share(&[&path], &[]);
    pair.get(&id);
    let file = fs::File::options().write(true).open(&path).unwrap();
    for group in [3, 100, 101] {
        file.write_all_at(b"another page", group * GROUP + 77).unwrap();
    }
    file.write_all_at(&corpus::bytes(6, 40_000), LARGE as u64).unwrap();
    drop(file);
    pair.alice.run(&["rescan"]).ok();
    let transfer = pair.get(&id);
    pair.assert_got(&transfer, &path);
    let fetched = number(&transfer, "bytes_peer");
    // Three groups inside, the last one of before, and what was appended.
    assert!(fetched <= 3 * GROUP + 4 * GROUP, "{transfer}");
    assert_eq!(fetched + number(&transfer, "bytes_local"), LARGE as u64 + 40_000, "{transfer}");
}

#[test]
fn a_new_version_takes_nothing_wrong_from_a_damaged_old_one() {
    let pair = Pair::start();
    let path = pair.alice.write("book.bin", corpus::bytes(7, LARGE));
    let id = pair.alice.share(&[&path], &[]);
    let got = pair.get(&id);
    let here = fs::File::options().write(true).open(text(&got, "path")).unwrap();
    here.write_all_at(b"damaged", 7 * GROUP + 1).unwrap();
    fs::File::options().write(true).open(&path).unwrap().write_all_at(b"new", 50 * GROUP).unwrap();
    pair.alice.run(&["rescan"]).ok();
    let transfer = pair.get(&id);
    pair.assert_got(&transfer, &path);
    assert_eq!(number(&transfer, "bytes_peer"), 2 * GROUP, "{transfer}");
}

#[test]
fn who_asks_for_a_certain_source_gets_that_source() {
    let pair = Pair::start();
    let first = pair.alice.write("one.bin", corpus::bytes(1, LARGE));
    let second = pair.alice.write("two.bin", corpus::bytes(1, LARGE));
    pair.get(&pair.alice.share(&[&first], &[]));
    let second_id = pair.alice.share(&[&second], &[]);
    let transfer = pair.bob.run(&["get", &second_id, "--from", "peer"]).ok().one("transfer");
    pair.assert_got(&transfer, &second);
    assert_eq!((number(&transfer, "bytes_peer"), number(&transfer, "bytes_local")), (LARGE as u64, 0), "{transfer}");
}
