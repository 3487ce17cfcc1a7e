//! From files to a data set directory and back: what `prepare` promises as a whole.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::filter::Duplicates;
use super::split::{CutOff, Split};
use super::*;

/// A folder of source files.
struct Home(TempDir);

impl Home {
    fn new(files: &[(&str, &str)]) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        files.iter().for_each(|(name, text)| std::fs::write(home.path(name), text).unwrap());
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// No core and no minimum; the catalogue if there is one.
    fn options(&self) -> PrepareOptions {
        PrepareOptions {
            interactions: self.path("log.csv"),
            items: Some(self.path("items.csv")).filter(|path| path.exists()),
            user_core: 1,
            item_core: 1,
            min_length: 1,
            ..PrepareOptions::default()
        }
    }
}

fn run(options: &PrepareOptions) -> Result<(Dataset, PrepareReport), DataError> {
    prepare(options, &mut |_| {})
}

const LOG: &str =
    "user,item,rating,ts\nu,c,5,1\nu,a,1,2\nu,b,4,3\nu,b,2,4\nv,x,3,9\nv,a,4,7\nv,c,5,8\nw,a,3,5\n";
const ITEMS: &str =
    "item,title,genres,image\nz,Zed,,\na,Ann,G,pictures/a.png\nb,,G,\na,Again,,\nc,Cee,,https://h/c.png\n";

/// [`Home::options`] with columns to keep.
fn keeping(home: &Home, kept: &[&str]) -> PrepareOptions {
    let mut options = home.options();
    options.catalogue.columns.kept = kept.iter().map(|&name| name.into()).collect();
    options
}

#[test]
fn kept_columns_follow_their_items_and_stand_on_disk() {
    let home = Home::new(&[("log.csv", LOG), ("items.csv", ITEMS)]);
    let (dataset, _) = run(&keeping(&home, &["genres", "item"])).unwrap();
    let column = |name: &str, values: [&str; 5]| KeptColumn {
        name: name.into(),
        values: values.map(str::to_owned).into(),
    };
    // The catalogue has no row for x.
    let expected = [column("genres", ["", "G", "G", "", ""]), column("item", ["", "a", "b", "c", ""])];
    assert_eq!(dataset.items.ids, ["", "a", "b", "c", "x"]);
    assert_eq!(dataset.items.kept, expected);
    let dir = home.path("data");
    write_dataset(&dir, &dataset, &serde_json::json!({}), serde_json::json!({})).unwrap();
    assert_eq!(Dataset::open(&dir).unwrap().items, dataset.items);
}

#[test]
fn a_column_that_cannot_be_kept_is_refused_by_its_name() {
    let home = Home::new(&[("log.csv", LOG), ("items.csv", ITEMS)]);
    let cases = [
        (&["title"][..], "--keep-column title: the data set has a column of this name of its own"),
        (&["genres", "genres"], "--keep-column genres: named twice"),
        (&["genres", "price"], "no column price; found item, title, genres, image"),
        (&[" "], "a column has a name"),
    ];
    for (kept, expected) in cases {
        let message = run(&keeping(&home, kept)).unwrap_err().to_string();
        assert!(message.contains(expected), "{message} instead of {expected}");
    }
    let bare = Home::new(&[("log.csv", LOG)]);
    let message = run(&keeping(&bare, &["genres"])).unwrap_err().to_string();
    assert!(message.contains("--keep-column: there is no catalogue"), "{message}");
}

#[test]
fn items_follow_the_catalogue_and_what_it_lacks_is_counted() {
    let home = Home::new(&[("log.csv", LOG), ("items.csv", ITEMS)]);
    let (dataset, report) = run(&home.options()).unwrap();
    assert_eq!(dataset.items.ids, ["", "a", "b", "c", "x"]);
    assert_eq!(dataset.items.titles, ["", "Ann", "", "Cee", ""]);
    assert_eq!(dataset.users, ["u", "v", "w"]);
    assert_eq!(dataset.sequences.items_of(0), [3, 1, 2]);
    assert_eq!(dataset.sequences.items_of(1), [1, 3, 4]);
    let rows = (report.catalogue_rows, report.catalogue_repeated, report.catalogue_unseen);
    assert_eq!((rows, report.items_without_catalogue_row), ((5, 1, 1), 1));
    assert_eq!((report.items_without_title, report.items_without_category), (2, 2));
    // The address isn't followed; the path leads to no file.
    assert_eq!((report.items_without_image, report.image_files_missing), (2, 1));
    assert_eq!(dataset.items.images[1], "pictures/a.png");
    assert_eq!(dataset.items.picture(1), Some(home.path("pictures/a.png")));
    assert_eq!((dataset.items.picture(2), dataset.items.picture(3)), (None, None));
    assert_eq!(report.users_without_targets, 1);
}

#[test]
fn unseen_items_are_kept_on_request_and_still_counted() {
    let home = Home::new(&[("log.csv", LOG), ("items.csv", ITEMS)]);
    let (dataset, report) = run(&PrepareOptions { keep_unseen_items: true, ..home.options() }).unwrap();
    assert_eq!(dataset.items.ids, ["", "z", "a", "b", "c", "x"]);
    assert_eq!((report.catalogue_unseen, report.items_without_catalogue_row), (1, 1));
    assert_eq!(dataset.train_counts()[1], 0);
}

#[test]
fn catalogue_only_drops_interactions_with_unknown_items() {
    let home = Home::new(&[("log.csv", LOG), ("items.csv", ITEMS)]);
    let (dataset, report) = run(&PrepareOptions { catalogue_only: true, ..home.options() }).unwrap();
    assert_eq!(dataset.items.ids, ["", "a", "b", "c"]);
    assert_eq!((report.items_without_catalogue_row, report.catalogue_unseen), (0, 1));
    let counts: Vec<_> = report.steps.iter().map(|s| (s.users, s.items, s.interactions)).collect();
    assert_eq!(counts, [(3, 4, 8), (3, 3, 7), (3, 3, 6), (3, 3, 6), (3, 3, 6)]);
}

#[test]
fn the_rule_for_duplicates_and_the_least_value_decide_what_stays() {
    let home = Home::new(&[("log.csv", LOG)]);
    let times = |options: PrepareOptions| {
        let times = run(&options).unwrap().0.sequences.times_of(0).to_vec();
        times.into_iter().map(|time| time / MICROS).collect::<Vec<_>>()
    };
    for (duplicates, expected) in [
        (Duplicates::First, vec![1, 2, 3]),
        (Duplicates::Last, vec![1, 2, 4]),
        (Duplicates::KeepAll, vec![1, 2, 3, 4]),
    ] {
        assert_eq!(times(PrepareOptions { duplicates, ..home.options() }), expected);
    }
    assert_eq!(times(PrepareOptions { min_value: Some(2.0), ..home.options() }), [1, 3]);
    let not_a_number = PrepareOptions { min_value: Some(f64::NAN), ..home.options() };
    assert!(matches!(run(&not_a_number), Err(DataError::Option { .. })));
}

#[test]
fn pictures_are_found_by_pattern_only_where_they_are() {
    let log = "user,item,ts\nu,a,1\nu,b,2\nu,../secret,3\n";
    let home = Home::new(&[("log.csv", log), ("a.jpg", ""), ("secret.jpg", "")]);
    std::fs::create_dir(home.path("posters")).unwrap();
    std::fs::write(home.path("posters/a.jpg"), "").unwrap();
    let images = Some(home.path("posters").join("{id}.jpg").display().to_string());
    let (dataset, report) = run(&PrepareOptions { images, ..home.options() }).unwrap();
    assert_eq!(dataset.items.images[1], "a.jpg");
    assert_eq!(dataset.items.picture(1), Some(home.path("posters/a.jpg")));
    assert_eq!(dataset.items.images[2..], ["", ""]);
    assert_eq!((report.items_without_image, report.image_files_missing), (2, 0));
}

#[test]
fn bad_lines_of_log_and_catalogue_share_one_allowance() {
    let log = format!("{LOG}v,,1,1\n");
    let items = format!("{ITEMS},nameless,,\n");
    let home = Home::new(&[("log.csv", &log), ("items.csv", &items)]);
    let (_, report) = run(&PrepareOptions { skip_bad: 2, ..home.options() }).unwrap();
    assert_eq!(report.bad_lines, 2);
    assert!(report.first_bad_line.unwrap().ends_with("log.csv:10: column item: empty id"));
    let error = run(&PrepareOptions { skip_bad: 1, ..home.options() }).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("items.csv:7: column item: empty id\nafter 1 malformed lines"), "{message}");
}

#[test]
fn a_log_without_times_is_not_split_by_time() {
    let home = Home::new(&[("log.txt", "1 2 3 4 5\n2 3 4 5\n3 5 6 7\n")]);
    let options = PrepareOptions { interactions: home.path("log.txt"), ..home.options() };
    let (dataset, report) = run(&options).unwrap();
    assert_eq!((report.rows_without_time, dataset.timed), (10, false));
    let split = Split::GlobalTime { valid: CutOff::Quantile(0.5), test: CutOff::Quantile(0.8) };
    let error = run(&PrepareOptions { split: Some(split), ..options }).unwrap_err();
    assert_eq!(error.to_string(), "--split: global_time needs times; 10 of 10 rows have none");
}

#[test]
fn what_emptied_the_data_is_named_with_advice_that_fits() {
    let home =
        Home::new(&[("log.csv", LOG), ("items.csv", "item,title\nq,Q\n"), ("none.csv", "user,item\n")]);
    let fails = |options: PrepareOptions| {
        let error = run(&options).unwrap_err();
        (error.to_string(), error.hint().unwrap())
    };
    let (message, hint) = fails(PrepareOptions { interactions: home.path("none.csv"), ..home.options() });
    assert!(message.contains("`read`") && hint.contains("check the file"), "{message}: {hint}");
    let (message, hint) = fails(PrepareOptions { catalogue_only: true, ..home.options() });
    assert!(message.contains("none of the log's 4 items stands in the catalogue"), "{message}");
    assert!(hint.contains("--items-column item=NAME"), "{hint}");
    let (message, hint) = fails(PrepareOptions { item_core: 9, ..home.options() });
    assert!(message.contains("core") && hint.contains("--item-core"), "{message}: {hint}");
    let short = Home::new(&[("log.csv", "user,item\nu,a\nv,b\n")]);
    let (message, hint) = fails(short.options());
    assert!(message.contains("no validation targets") && hint.contains("3 or more"), "{message}: {hint}");
}

#[test]
fn a_gzipped_log_gives_the_same_data_and_another_source_hash() {
    let home = Home::new(&[("log.csv", LOG)]);
    let file = std::fs::File::create(home.path("log.csv.gz")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    encoder.write_all(LOG.as_bytes()).unwrap();
    encoder.finish().unwrap();
    let (plain, plain_report) = run(&home.options()).unwrap();
    let zipped = PrepareOptions { interactions: home.path("log.csv.gz"), ..home.options() };
    let (zipped, zipped_report) = run(&zipped).unwrap();
    assert_eq!(plain, zipped);
    assert_ne!(plain_report.sources[0].sha256, zipped_report.sources[0].sha256);
}

/// Rows of (user, item, time); small ranges, so that repetitions and equal times abound.
fn rows() -> impl Strategy<Value = Vec<(u8, u8, u8)>> {
    prop::collection::vec((0u8..6, 0u8..9, 0u8..30), 1..80)
}

fn log_of(rows: &[(u8, u8, u8)]) -> String {
    let lines: String = rows.iter().map(|(user, item, time)| format!("u{user},i{item},{time}\n")).collect();
    format!("user,item,ts\n{lines}")
}

/// The split to try, with cut-offs at fixed moments.
fn rule(global_time: bool) -> Split {
    let at = |seconds: &str| CutOff::Date(format!("1970-01-01T00:00:{seconds}Z"));
    if global_time { Split::GlobalTime { valid: at("12"), test: at("21") } } else { Split::LeaveOneOut }
}

/// Training counts by id, without items that don't train.
fn train_counts(dataset: &Dataset) -> BTreeMap<String, u32> {
    let counts = dataset.items.ids.iter().cloned().zip(dataset.train_counts());
    counts.filter(|(_, count)| *count > 0).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_is_prepared_is_written_and_opens_as_it_was(
        rows in rows(), global_time: bool, core in 1usize..4, length in 1usize..5,
    ) {
        let home = Home::new(&[("log.csv", &log_of(&rows))]);
        let options = PrepareOptions {
            user_core: core, item_core: core, min_length: length, split: Some(rule(global_time)), ..home.options()
        };
        if let Ok((mut dataset, report)) = run(&options) {
            let last = report.steps.last().unwrap();
            prop_assert_eq!(last.users, dataset.users.len());
            prop_assert_eq!(last.items, dataset.items.count());
            prop_assert_eq!(last.interactions, dataset.sequences.items.len());
            prop_assert!((0..last.users).all(|u| dataset.sequences.items_of(u).len() >= length));
            let as_json = serde_json::to_value(&report).unwrap();
            let about = serde_json::json!({"options": options});
            dataset.hash = write_dataset(&home.path("d"), &dataset, &as_json, about).unwrap();
            prop_assert_eq!(Dataset::open(&home.path("d")).unwrap(), dataset);
        }
    }

    /// Statistics of training must not know the targets, nor what lies behind them.
    #[test]
    fn other_targets_leave_the_training_part_as_it_is(rows in rows(), global_time: bool, shift in 1u8..9) {
        let rules = |home: &Home| PrepareOptions {
            duplicates: Duplicates::KeepAll, split: Some(rule(global_time)), ..home.options()
        };
        let home = Home::new(&[("log.csv", &log_of(&rows))]);
        let Ok((before, _)) = run(&rules(&home)) else { return Ok(()) };
        // Which rows are no training rows: by time, or the user's last two in (time, place) order.
        let mut flipped = rows.clone();
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&n| (rows[n].0, rows[n].2));
        for user in order.chunk_by(|&a, &b| rows[a].0 == rows[b].0) {
            for (place, &n) in user.iter().enumerate() {
                let is_target = user.len() >= 3 && place + 2 >= user.len();
                if if global_time { rows[n].2 >= 12 } else { is_target } {
                    flipped[n].1 = (rows[n].1 + shift) % 9;
                }
            }
        }
        let home = Home::new(&[("log.csv", &log_of(&flipped))]);
        let (after, _) = run(&rules(&home)).unwrap();
        prop_assert_ne!(flipped, rows);
        prop_assert_eq!(train_counts(&before), train_counts(&after));
    }
}
