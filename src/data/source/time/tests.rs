use super::*;
use crate::data::MICROS;

fn packed_micros(texts: &[&str]) -> Vec<i64> {
    let mut column = TimeColumn::default();
    let mut packed: Vec<i64> = Vec::new();
    for text in texts {
        let next = column.pack(RawTime::parse(text, None).unwrap()).unwrap();
        if let Some(factor) = next.earlier_times {
            packed.iter_mut().for_each(|value| *value *= factor);
        }
        packed.push(next.value);
    }
    let resolved = column.resolve(None).unwrap();
    packed.into_iter().map(|value| resolved.micros(value).unwrap()).collect()
}

#[test]
fn every_unit_and_date_gives_the_same_moment() {
    for (text, micros) in [
        ("964982703", 0),
        ("964982703.7", 700_000),
        ("9.64982703e8", 0),
        ("964982703250", 250_000),
        ("964982703250.0", 250_000),
        ("964982703000001", 1),
        ("964982703000001999", 1),
        ("20000730184503", 0),
        ("2000-07-30T18:45:03Z", 0),
        ("2000-07-30 18:45:03", 0),
        ("2000-07-30 18:45:03.25", 250_000),
        ("2000-07-30 18:45:03 UTC", 0),
        ("2000-07-30 18:45:03+00:00", 0),
        ("2000-07-30T20:45:03+02:00", 0),
    ] {
        assert_eq!(packed_micros(&[text]), [964_982_703 * MICROS + micros], "{text}");
    }
    for text in ["2000-07-30", "20000730", "2000-07-30T00:00:00Z"] {
        assert_eq!(packed_micros(&[text]), [964_915_200 * MICROS], "{text}");
    }
    assert_eq!(packed_micros(&["-5"]), [-5 * MICROS]);
    assert_eq!(packed_micros(&["-0.5", "-1.25"]), [-500_000, -1_250_000]);
}

#[test]
fn a_column_has_one_unit_and_keeps_its_order() {
    // A clock of milliseconds that starts near zero crosses the size at which seconds end.
    let clock = ["99999999999", "100000000000", "100000000001", "100000000002", "100000000003"];
    let times = packed_micros(&clock);
    assert!(times.windows(2).all(|w| w[1] - w[0] == 1_000), "{times:?}");
    // The first fraction comes late.
    assert_eq!(packed_micros(&["5", "6", "6.5", "7"]), [5 * MICROS, 6 * MICROS, 6_500_000, 7 * MICROS]);
    // One number that is no date, and digits are seconds.
    assert_eq!(packed_micros(&["20200705", "20201305"]), [20_200_705 * MICROS, 20_201_305 * MICROS]);
    let mut column = TimeColumn::default();
    for number in [1_600_000_000, 1_600_000_001, 1_600_000_000_000] {
        column.pack(RawTime::Number(number)).unwrap();
    }
    let found = column.resolve(None).unwrap();
    assert_eq!((found.unit, found.odd), (Some(TimeUnit::Seconds), 1));
    assert_eq!(column.resolve(Some(TimeUnit::Milliseconds)).unwrap().micros(5).unwrap(), 5_000);
}

#[test]
fn numbers_and_dates_in_one_column_are_refused() {
    let mut column = TimeColumn::default();
    column.pack(RawTime::Number(5)).unwrap();
    assert!(column.pack(RawTime::Moment(5)).unwrap_err().contains("date"));
    let mut column = TimeColumn::default();
    column.pack(RawTime::Moment(5)).unwrap();
    assert!(column.pack(RawTime::Decimal(5, 1)).unwrap_err().contains("number"));
    assert!(column.resolve(Some(TimeUnit::Seconds)).is_err());
}

#[test]
fn what_is_no_time_is_an_error_that_names_the_forms_that_are_read() {
    for text in [
        "x",
        "inf",
        "1e300",
        "2000-13-01",
        "11/13/2019 8:36:57 AM",
        "05.07.2020",
        "02 27, 2014",
        "12:30",
        "2020-07-05T10:00:00[Europe/Berlin]",
        "9999-12-31",
    ] {
        let error = RawTime::parse(text, None).unwrap_err();
        assert!(error.contains("read are Unix seconds") || error.contains("1678"), "{text}: {error}");
    }
    for text in ["", "  ", "NaN", "NaT", "NULL", "None"] {
        assert_eq!(RawTime::parse(text, None), Ok(RawTime::Missing), "{text}");
    }
}

#[test]
fn a_format_reads_what_it_says_and_nothing_else() {
    let moment = |text: &str, format: &str| RawTime::parse(text, Some(format));
    let expected = Ok(RawTime::Moment(1_573_634_217_000_000_000));
    assert_eq!(moment("11/13/2019 8:36:57 AM", "%m/%d/%Y %I:%M:%S %p"), expected);
    assert_eq!(moment("13.11.2019 08:36:57", "%d.%m.%Y %H:%M:%S"), expected);
    assert_eq!(moment("13.11.2019 09:36:57 +0100", "%d.%m.%Y %H:%M:%S %z"), expected);
    assert_eq!(moment("02 27, 2014", "%m %d, %Y"), Ok(RawTime::Moment(1_393_459_200_000_000_000)));
    assert!(moment("1573634217", "%m/%d/%Y").unwrap_err().contains("not written as"));
}

#[test]
fn floats_keep_the_decimals_that_were_meant() {
    assert_eq!(RawTime::from_f64(1_694_282_882.123), Some(RawTime::Decimal(1_694_282_882, 123_000_000)));
    assert_eq!(RawTime::from_f64(1_694_282_882_123.0), Some(RawTime::Number(1_694_282_882_123)));
    assert_eq!(RawTime::from_f64(f64::NAN), None);
    assert_eq!(RawTime::from_f64(1e300), None);
}
