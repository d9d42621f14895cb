//! From rounds to tables: Markdown for people, JSON for the next run to compare with.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::case::{CASES, find};
use crate::claim::{CLAIMS, CONTROL, CONTROLS, Claim, Measure};
use crate::histogram::Histogram;
use crate::rounds::Round;
use crate::stats::{Estimate, Reach, Verdict, estimate, median, ratios};
use crate::{Failed, Options};

/// What was measured.
pub(crate) struct Run {
    pub(crate) rounds: usize,
    pub(crate) millis: u64,
    pub(crate) series: BTreeMap<&'static str, Vec<Round>>,
}

/// A line of the table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) title: String,
    pub(crate) measure: String,
    pub(crate) estimate: Estimate,
    pub(crate) reach: Option<Reach>,
    pub(crate) verdict: Option<Verdict>,
}

/// What a case showed over all rounds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) name: String,
    pub(crate) title: String,
    /// Calls per second, median of rounds.
    pub(crate) rate: f64,
    /// Milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    /// Microseconds of server CPU for a call, median of rounds.
    pub(crate) cpu: f64,
    pub(crate) calls: u64,
}

/// A whole run, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) rounds: usize,
    pub(crate) millis: u64,
    /// Whether the control allowed a verdict.
    pub(crate) judged: bool,
    pub(crate) control: Vec<Line>,
    pub(crate) lines: Vec<Line>,
    pub(crate) figures: Vec<Figures>,
}

impl Run {
    /// A figure of a case, round by round.
    fn values(&self, case: &str, measure: Measure) -> Vec<f64> {
        let rounds = self.series.get(case).map(Vec::as_slice).unwrap_or_default();
        rounds.iter().map(|round| value(round, measure)).collect()
    }

    fn line(&self, claim: &Claim) -> Option<Line> {
        let own = self.values(claim.case, claim.measure);
        let values = if claim.against.is_empty() {
            own
        } else {
            let mut sum = vec![0.0; self.rounds];
            for case in claim.against {
                let part = self.values(case, claim.measure);
                if part.is_empty() {
                    return None;
                }
                sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            }
            ratios(&own, &sum)
        };
        let estimate = estimate(&values)?;
        Some(Line {
            title: claim.title.to_owned(),
            measure: claim.measure.word().to_owned(),
            estimate,
            reach: claim.reach,
            verdict: claim.reach.map(|reach| reach.judge(&estimate)),
        })
    }

    fn figures(&self, case: &str) -> Option<Figures> {
        let rounds = self.series.get(case)?;
        let mut all = Histogram::default();
        rounds.iter().for_each(|round| all.merge(&round.told.took));
        let millis = |q| all.quantile(q) / 1e6;
        Some(Figures {
            name: case.to_owned(),
            title: find(case)?.title.to_owned(),
            rate: median(&self.values(case, Measure::Rate))?,
            p50: millis(0.5),
            p99: millis(0.99),
            p999: millis(0.999),
            cpu: median(&self.values(case, Measure::Cpu))? / 1e3,
            calls: rounds.iter().map(|round| round.told.acknowledged).sum(),
        })
    }

    fn results(&self) -> Results {
        let control: Vec<Line> = CONTROLS.iter().filter_map(|claim| self.line(claim)).collect();
        let (low, high) = CONTROL;
        let judged = control.iter().all(|line| (low..=high).contains(&line.estimate.mid));
        let mut lines: Vec<Line> = CLAIMS.iter().filter_map(|claim| self.line(claim)).collect();
        if !judged {
            lines.iter_mut().for_each(|line| line.verdict = None);
        }
        let figures = CASES.iter().filter_map(|case| self.figures(case.name)).collect();
        Results { rounds: self.rounds, millis: self.millis, judged, control, lines, figures }
    }
}

fn value(round: &Round, measure: Measure) -> f64 {
    let told = &round.told;
    match measure {
        Measure::Rate => told.calls as f64 / (told.nanos as f64 / 1e9),
        Measure::Cpu => round.cpu as f64 / told.acknowledged.max(1) as f64,
        Measure::P99 => told.took.quantile(0.99),
        Measure::Tail => told.took.quantile(0.999) / told.took.quantile(0.99).max(1.0),
    }
}

/// Tables to the terminal and to files.
pub(crate) fn write(_options: &Options, _folder: &Path, run: &Run) -> Result<ExitCode, Failed> {
    let results = run.results();
    let text = markdown(&results)?;
    std::io::stdout().write_all(text.as_bytes())?;
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("network");
    std::fs::create_dir_all(&out)?;
    std::fs::write(out.join("network.md"), &text)?;
    std::fs::write(out.join("network.json"), serde_json::to_vec_pretty(&results)?)?;
    Ok(if results.judged { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn markdown(results: &Results) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(text, "| what | of | median | 5–95 % | to reach | |\n| --- | --- | ---: | ---: | ---: | --- |")?;
    for line in results.control.iter().chain(&results.lines) {
        let Estimate { low, mid, high } = line.estimate;
        let verdict = match line.verdict {
            None => "",
            Some(Verdict::Reached) => "reached",
            Some(Verdict::Unclear) => "unclear",
            Some(Verdict::Missed) => "**missed**",
        };
        let reach = line.reach.map(show).unwrap_or_default();
        writeln!(text, "| {} | {} | {mid:.2} | {low:.2}–{high:.2} | {reach} | {verdict} |", line.title, line.measure)?;
    }
    if !results.judged {
        let sentence = "The machine is too restless to judge: the same server differed from itself by more than 10 %.";
        writeln!(text, "\n{sentence} Run it again when nothing else runs.")?;
    }
    writeln!(text, "\n| case | calls/s | p50 ms | p99 ms | p99.9 ms | server CPU µs per call | calls |")?;
    writeln!(text, "| --- | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for case in &results.figures {
        writeln!(
            text,
            "| {} | {:.0} | {:.3} | {:.3} | {:.3} | {:.1} | {} |",
            case.title, case.rate, case.p50, case.p99, case.p999, case.cpu, case.calls
        )?;
    }
    Ok(text)
}

fn show(reach: Reach) -> String {
    match reach {
        Reach::AtLeast(least) => format!("≥ {least}"),
        Reach::AtMost(most) => format!("≤ {most}"),
        Reach::Between(least, most) => format!("{least}–{most}"),
    }
}
