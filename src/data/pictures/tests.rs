use std::fs;

use proptest::prelude::*;

use super::*;

fn files(names: &[&str]) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for name in names {
        let path = home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
    home
}

#[test]
fn every_layout_of_pictures_is_found() {
    let home = files(&[
        "posters/0108775015.jpg",
        "images/010/0108775015.jpg",
        "deep/010/8775/15/x.png",
        "mixed/0108775015.png",
        "mixed/7.jpg",
        "mixed/7.png",
        "0108775015/main.webp",
    ]);
    let table = [
        ("one folder", "posters/{id}.jpg", "posters/0108775015.jpg"),
        ("folders of leading characters", "images/{id[:3]}/{id}.jpg", "images/010/0108775015.jpg"),
        ("parts of an id", "deep/{id[:3]}/{id[3:7]}/{id[-2:]}/x.png", "deep/010/8775/15/x.png"),
        ("several endings", "mixed/{id}.{jpg,png}", "mixed/0108775015.png"),
        ("a folder an item", "{id}/main.{jpg,webp}", "0108775015/main.webp"),
    ];
    for (name, pattern, path) in table {
        let pattern = Pattern::parse(pattern).unwrap();
        assert_eq!(pattern.find(home.path(), "0108775015").as_deref(), Some(path), "{name}");
        assert_eq!(pattern.find(home.path(), "nobody"), None, "{name}");
        println!("pass  {name}: {path}");
    }
    // Endings are tried in order.
    assert_eq!(
        Pattern::parse("mixed/{id}.{png,jpg}").unwrap().find(home.path(), "7").unwrap(),
        "mixed/7.png"
    );
    assert_eq!(
        Pattern::parse("mixed/{id}.{jpg,png}").unwrap().find(home.path(), "7").unwrap(),
        "mixed/7.jpg"
    );
}

#[test]
fn a_pattern_that_cannot_name_pictures_is_refused() {
    let unknown =
        ["{asin}.jpg", "{ID}.jpg", "{id:010}.jpg", "{id[0]}.jpg", "{id[a:]}.jpg", "{}.jpg", "{id}{jpg}"];
    for text in unknown {
        let found = Pattern::parse(text).unwrap_err();
        assert!(matches!(found, PatternError::Unknown { .. }), "{text}: {found}");
        assert!(found.hint().contains("{id[:3]}"));
    }
    for text in ["posters/id.jpg", "posters/*.jpg", "x.{jpg,png}", ""] {
        assert_eq!(Pattern::parse(text), Err(PatternError::NoId(text.into())));
    }
    for text in ["{id.jpg", "id}.jpg", "{id{}}", "{"] {
        assert!(matches!(Pattern::parse(text), Err(PatternError::Brace(_))), "{text}");
    }
}

#[test]
fn an_id_never_leads_out_of_the_folder() {
    let home = files(&["pics/a.jpg", "secret.jpg", "x.jpg"]);
    let pics = home.path().join("pics");
    let cases =
        [("{id}.jpg", "../secret"), ("{id[:2]}/secret.jpg", "..a"), ("{id}/x.jpg", ".."), ("{id}", "..")];
    for (pattern, id) in cases {
        assert_eq!(Pattern::parse(pattern).unwrap().find(&pics, id), None, "{pattern} of {id}");
    }
    // What the pattern itself asks for is the user's own doing.
    assert_eq!(Pattern::parse("../{id}.jpg").unwrap().find(&pics, "x").unwrap(), "../x.jpg");
}

#[test]
fn the_folder_in_front_of_the_first_placeholder_is_parted_off() {
    for (text, folder) in
        [("a/b/{id}.jpg", "a/b/"), ("{id}.jpg", ""), ("/a/x{id[:1]}/{id}", "/a/"), ("p{id}", "")]
    {
        let whole = Pattern::parse(text).unwrap();
        let (found, rest) = whole.split();
        assert_eq!(found, Path::new(folder), "{text}");
        assert_eq!(found.join(&rest.candidates("i9")[0]), Path::new(&whole.candidates("i9")[0]));
    }
}

#[test]
fn one_picture_of_many_items_is_one_group() {
    let home = files(&["a", "b", "c", "d"]);
    let path = |name: &str| home.path().join(name);
    fs::write(path("c"), "a").unwrap();
    fs::write(path("d"), "b").unwrap();
    fs::write(path("e"), "longer").unwrap();
    let paths = ["a", "b", "c", "e", "c", "none", "d"].map(path);
    assert_eq!(same_files(&paths), [vec![0, 2, 4], vec![1, 6]]);
}

#[test]
fn lost_pictures_are_counted_by_what_would_mend_them() {
    let home = files(&["1.jpg", "pics/2.jpg"]);
    let images = ["", "/1.jpg", "/9.jpg", "pics\\2.jpg", "pics/2.jpg", "https://h/1.jpg", "gone.jpg"];
    let items = Items {
        images: images.map(str::to_owned).to_vec(),
        pictures_root: Some(home.path().to_owned()),
        ..Items::default()
    };
    let found = Survey::new(&items);
    let counts = (found.named, found.addresses, found.lost, found.absolute_lost);
    assert_eq!((counts, found.absolute_below_root, found.backslashes), ((6, 1, 4, 2), 1, 1));
    assert_eq!(found.first_lost.as_deref(), Some(Path::new("/1.jpg")));
    let told = found.remarks(items.pictures_root.as_deref());
    assert_eq!(told.len(), 2);
    assert!(told[0].starts_with("1 pictures are absolute paths such as /1.jpg"), "{}", told[0]);
    assert!(told[0].contains("--pictures"));
    assert!(Survey::new(&Items::default()).remarks(None).is_empty());
}

proptest! {
    #[test]
    fn any_pattern_parses_or_errs_and_never_leaves_the_folder(text in "[{}id\\[\\]:,.0-9/a-z-]{0,16}", id in "[./a\\\\é]{0,5}") {
        if let Ok(pattern) = Pattern::parse(&text) {
            for path in pattern.candidates(&id) {
                prop_assert_eq!(climbs(&path), pattern.climbs(), "{}", path);
            }
        }
    }

    #[test]
    fn a_slice_is_pythons(text in "[a-e]{0,6}", from in -8i64..8, to in -8i64..8) {
        let n = text.len() as i64;
        let place = |b: i64| (if b < 0 { b + n } else { b }).clamp(0, n) as usize;
        let expected = text.get(place(from)..place(to)).unwrap_or("");
        prop_assert_eq!(slice(&text, Some(from), Some(to)), expected);
    }
}
