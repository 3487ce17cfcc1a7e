//! What a workload's data are: pure functions of its seed, row by row, so that nothing is held as a whole.

use super::workload::{Kind, Profile, Workload};
use crate::synth::draws::Draws;

/// What draws are for; each has its own random streams.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Stream {
    Sequence = 1,
    TextLength,
    TextTokens,
    ImageTokens,
    Labels,
    Reviews,
    /// One more for every branch.
    ItemVectors = 16,
    UserVectors = 32,
}

/// MovieLens-1M's interactions a user are about log-normal: median 96 and mean 166.
const MOVIELENS_MEDIAN: f64 = 96.0;
const MOVIELENS_SIGMA: f64 = 1.04;
/// Its users have 20 or more.
const MOVIELENS_SHORTEST: f64 = 20.0;
/// Amazon Beauty's 5-core: mean interactions a user.
const BEAUTY_MEAN: f64 = 8.88;
/// Amazon Arts: mean interactions a user.
const ARTS_MEAN: f64 = 7.7;
/// Reviews are of the fifteen years from 2004 on.
const FIRST_REVIEW: usize = 1_072_915_200;
const REVIEWED_SECONDS: usize = 473_385_600;
/// How far a user vector of a ranking leans towards its target, in units of 1/sqrt(D): about one target in six is
/// then among the best ten of 21,020 items, at any width, so that contenders' metrics are worth comparing.
const LEAN: f64 = 2.4;

/// Draws item numbers 1..=I: uniform, or with probability 1/rank where item i has rank i.
pub struct Items {
    items: usize,
    /// Sums of 1/rank; empty where items are uniform.
    cumulative: Vec<f64>,
}

impl Items {
    pub fn new(workload: &Workload) -> Self {
        let cumulative = match workload.profile {
            Profile::Dense => Vec::new(),
            Profile::Sparse => {
                let sums = (1..=workload.items).scan(0.0, |sum, rank| {
                    *sum += 1.0 / rank as f64;
                    Some(*sum)
                });
                sums.collect()
            }
        };
        Self { items: workload.items, cumulative }
    }

    fn draw(&self, draws: &mut Draws) -> u32 {
        let Some(total) = self.cumulative.last() else { return 1 + draws.integer(self.items) as u32 };
        let at = draws.uniform() * total;
        1 + self.cumulative.partition_point(|&sum| sum <= at).min(self.items - 1) as u32
    }
}

/// Items of window `row`, oldest first: 2 to S + 1 of a training; history and target of a ranking.
pub fn sequence(workload: &Workload, items: &Items, row: usize) -> Vec<u32> {
    let draws = &mut Draws::numbered(workload.seed, Stream::Sequence as u64, row as u64);
    if workload.kind == Kind::Evaluate {
        let length = history_length(workload, draws);
        let mut all: Vec<u32> = (0..length).map(|_| items.draw(draws)).collect();
        all.push(target(&all, items, draws));
        return all;
    }
    let length = window_length(workload, draws);
    (0..length).map(|_| items.draw(draws)).collect()
}

fn window_length(workload: &Workload, draws: &mut Draws) -> usize {
    let most = workload.positions + 1;
    let length = match (workload.profile, workload.name.as_str()) {
        (Profile::Dense, _) => most,
        // Those that have the sizes of a set have the lengths of its users too.
        (Profile::Sparse, "sasrec-ml1m") => {
            let drawn = (MOVIELENS_MEDIAN.ln() + MOVIELENS_SIGMA * draws.normal()).exp();
            drawn.max(MOVIELENS_SHORTEST).min(most as f64) as usize
        }
        (Profile::Sparse, "sasrec-beauty") => 4 + geometric(1.0 / (BEAUTY_MEAN - 4.0), draws),
        (Profile::Sparse, _) => 3 + geometric(0.25, draws),
    };
    length.min(most)
}

fn history_length(workload: &Workload, draws: &mut Draws) -> usize {
    let length = match workload.profile {
        Profile::Dense => ARTS_MEAN.round() as usize,
        Profile::Sparse => 3 + geometric(1.0 / (ARTS_MEAN - 3.0), draws),
    };
    length.min(workload.positions)
}

/// Trials up to the first success, 1 or more.
fn geometric(success: f64, draws: &mut Draws) -> usize {
    let trials = (1.0 - draws.uniform()).ln() / (1.0 - success).ln();
    1 + trials as usize
}

/// An item that `history` lacks: one that it has would be no candidate. The history's last item where it has all
/// of a tiny catalogue; that target counts as a miss everywhere.
fn target(history: &[u32], items: &Items, draws: &mut Draws) -> u32 {
    let drawn = items.draw(draws);
    let count = items.items as u32;
    let from_there = (0..count).map(|step| 1 + (drawn - 1 + step) % count);
    from_there.into_iter().find(|item| !history.contains(item)).unwrap_or(drawn)
}

/// Right answer of row `row` of a loss.
pub fn label(workload: &Workload, items: &Items, row: usize) -> u32 {
    items.draw(&mut Draws::numbered(workload.seed, Stream::Labels as u64, row as u64))
}

/// How many reviews user `user` of a preparation wrote.
pub fn review_count(workload: &Workload, user: usize) -> usize {
    history_length(workload, &mut Draws::numbered(workload.seed, Stream::Sequence as u64, user as u64))
}

/// Review number `number`, by user `user`: a line of JSON in the layout of Amazon's reviews of 2018.
pub fn review(workload: &Workload, items: &Items, number: usize, user: usize) -> String {
    let draws = &mut Draws::numbered(workload.seed, Stream::Reviews as u64, number as u64);
    let (item, stars) = (items.draw(draws), 1 + draws.integer(5));
    let time = FIRST_REVIEW + draws.integer(REVIEWED_SECONDS);
    let words = match workload.profile {
        Profile::Dense => workload.text_tokens,
        Profile::Sparse => 1 + draws.integer(workload.text_tokens),
    };
    let text: Vec<String> = (0..words).map(|_| format!("word{}", draws.integer(5000))).collect();
    // Line ends within a review are escaped, as many of the real ones are.
    let text = text.chunks(8).map(|words| words.join(" ")).collect::<Vec<_>>().join("\\n");
    format!(
        r#"{{"overall": {stars}.0, "verified": true, "reviewerID": "A{user:09}", "asin": "B{item:09}", "reviewText": "{text}", "summary": "word{stars}", "unixReviewTime": {time}}}"#
    )
}

/// Text tokens of `item`.
pub fn text_length(workload: &Workload, item: usize) -> usize {
    let most = workload.text_tokens;
    match workload.profile {
        Profile::Dense => most,
        Profile::Sparse => {
            let draws = &mut Draws::numbered(workload.seed, Stream::TextLength as u64, item as u64);
            if most < 2 { most } else { 2 + draws.integer(most - 1) }
        }
    }
}

/// Text tokens of `item`, `[text_length, F]`.
pub fn text(workload: &Workload, item: usize) -> Vec<f32> {
    tokens(workload, Stream::TextTokens, item, text_length(workload, item))
}

/// Image tokens of `item`, `[V, F]`.
pub fn image(workload: &Workload, item: usize) -> Vec<f32> {
    tokens(workload, Stream::ImageTokens, item, workload.image_tokens)
}

/// Uniform with variance 1: cheaper than normal numbers, and no step can tell.
fn tokens(workload: &Workload, stream: Stream, item: usize, count: usize) -> Vec<f32> {
    let mut draws = Draws::numbered(workload.seed, stream as u64, item as u64);
    let scale = 12f64.sqrt();
    (0..count * workload.feature_width).map(|_| ((draws.uniform() - 0.5) * scale) as f32).collect()
}

/// Vector of `item` in branch `branch`, `[D]`, standard normal; zero for padding.
pub fn item_vector(workload: &Workload, branch: usize, item: usize) -> Vec<f32> {
    if item == 0 {
        return vec![0.0; workload.width];
    }
    let stream = Stream::ItemVectors as u64 + branch as u64;
    Draws::numbered(workload.seed, stream, item as u64).normals(workload.width)
}

/// Vector of `user` in branch `branch`, `[D]`: standard normal, leaning towards the target's vector.
pub fn user_vector(workload: &Workload, branch: usize, user: usize, target: u32) -> Vec<f32> {
    let stream = Stream::UserVectors as u64 + branch as u64;
    let own = Draws::numbered(workload.seed, stream, user as u64).normals(workload.width);
    let lean = (LEAN / (workload.width as f64).sqrt()) as f32;
    own.iter().zip(item_vector(workload, branch, target as usize)).map(|(u, h)| u + lean * h).collect()
}

/// Vector of `item` in branch `branch` of a loss, `[D]`: of length 1 or so, as trained tables hold them. Scores by
/// [`user_vector`] then have variance 1, those of right answers a higher mean.
pub fn table_row(workload: &Workload, branch: usize, item: usize) -> Vec<f32> {
    let scale = 1.0 / (workload.width as f32).sqrt();
    item_vector(workload, branch, item).into_iter().map(|x| x * scale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequences(name: &str, profile: Profile, sets: &[&str]) -> Vec<Vec<u32>> {
        let mut workload = Workload::named(name, profile).unwrap();
        sets.iter().for_each(|set| workload.set(set).unwrap());
        let items = Items::new(&workload);
        (0..workload.windows()).map(|row| sequence(&workload, &items, row)).collect()
    }

    fn mean_length(sequences: &[Vec<u32>]) -> f64 {
        sequences.iter().map(Vec::len).sum::<usize>() as f64 / sequences.len() as f64
    }

    #[test]
    fn profiles_have_the_lengths_they_promise() {
        let dense = sequences("odmt-paper", Profile::Dense, &[]);
        assert!(dense.iter().all(|s| s.len() == 13));
        let sparse = sequences("odmt-paper", Profile::Sparse, &["batches=40"]);
        assert!(sparse.iter().all(|s| (4..=13).contains(&s.len())));
        // 3 + the mean of a geometric number that is cut at 10.
        assert!((mean_length(&sparse) - 6.77).abs() < 0.1, "{}", mean_length(&sparse));
        let movies = sequences("sasrec-ml1m", Profile::Sparse, &["positions=5000"]);
        assert!(movies.iter().all(|s| s.len() >= 20));
        assert!((mean_length(&movies) - 166.0).abs() < 15.0, "{}", mean_length(&movies));
        let beauty = sequences("sasrec-beauty", Profile::Sparse, &["positions=500"]);
        assert!(beauty.iter().all(|s| s.len() >= 5));
        assert!((mean_length(&beauty) - 8.88).abs() < 0.5, "{}", mean_length(&beauty));
        let arts = sequences("eval-arts", Profile::Sparse, &["users=5000"]);
        // The target is one more.
        assert!((mean_length(&arts) - 8.7).abs() < 0.3, "{}", mean_length(&arts));
    }

    #[test]
    fn a_target_is_never_in_its_own_history() {
        for user in sequences("eval-arts", Profile::Sparse, &["users=500", "items=60"]) {
            let (target, history) = user.split_last().unwrap();
            assert!(!history.contains(target));
        }
    }

    #[test]
    fn sparse_items_follow_one_over_rank() {
        let all = sequences("odmt-small", Profile::Sparse, &["batches=100"]).concat();
        let count = |item: u32| all.iter().filter(|&&i| i == item).count() as f64;
        assert!((count(1) / count(4) - 4.0).abs() < 0.8, "{} {}", count(1), count(4));
        assert!(all.iter().all(|&item| (1..=4000).contains(&item)));
    }
}
