//! Folders of part files in every format.

use super::*;

#[test]
fn partition_keys_are_columns_of_every_format() {
    for (name, text) in [
        ("x.csv", "item,title\n1,Boot\n"),
        ("x.jsonl", "{\"item\": 1, \"title\": \"Boot\"}\n"),
        ("x.item", "item:token\ttitle:token_seq\n1\tBoot\n"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["category=shoes%20%26%20co", "category=__HIVE_DEFAULT_PARTITION__"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
            std::fs::write(dir.path().join(folder).join(name), text).unwrap();
        }
        let found = catalogue_of(dir.path(), &SourceOptions::default(), &mut BadLines::default()).unwrap();
        let categories: Vec<&str> = found.iter().map(|item| item.category.as_str()).collect();
        assert_eq!(categories, ["", "shoes & co"], "{name}");
        assert_eq!(found[0].title, "Boot");
    }
}

#[test]
fn a_key_of_the_log_can_be_any_role_and_the_files_own_column_comes_first() {
    let dir = tempfile::tempdir().unwrap();
    for (folder, text) in
        [("date=2020-07-05", "user,item\na,1\n"), ("date=2020-07-06", "user,item,date\nb,2,2020-07-09\n")]
    {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
        std::fs::write(dir.path().join(folder).join("x.csv"), text).unwrap();
    }
    let rows = rows_of(dir.path(), Format::Delimited, &mut BadLines::default()).unwrap();
    let day = |n: i64| Some(1_593_907_200 + n * 86_400);
    assert_eq!(rows, [row("a", "1", day(0), None), row("b", "2", day(4), None)]);
}

#[test]
fn rows_of_a_split_carry_the_part_of_their_file() {
    let dir = tempfile::tempdir().unwrap();
    for (part, item) in [("test", 3), ("train", 1), ("valid", 2)] {
        let text = format!("user_id:token\titem_id:token\nu\ti{item}\n");
        std::fs::write(dir.path().join(format!("toy.{part}.inter")), text).unwrap();
    }
    let options = SourceOptions::default();
    let mut reading = Reading::new(dir.path(), Source::Log, &options, BadLines::default()).unwrap();
    let mut rows = Vec::new();
    read_interactions(&mut reading, &mut |r| {
        rows.push((r.item.to_owned(), r.part.unwrap()));
        Ok(())
    })
    .unwrap();
    let expected = [("i1", GivenPart::Train), ("i2", GivenPart::Valid), ("i3", GivenPart::Test)];
    assert_eq!(rows, expected.map(|(item, part)| (item.to_owned(), part)));
}
