//! From rounds to tables: Markdown for people, JSON for the next run to compare with, pictures of both.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::case::{CASES, find};
use crate::claim::{CLAIMS, CONTROL, CONTROLS, Claim, Measure};
use crate::histogram::Histogram;
use crate::machine::Machine;
use crate::rounds::Round;
use crate::stats::{Estimate, Reach, Verdict, estimate, median, ratios};
use crate::{Failed, Options, plot};

/// Ends of a run that may not be judged.
const RESTLESS: u8 = 3;

/// What was measured.
pub(crate) struct Run {
    pub(crate) rounds: usize,
    pub(crate) millis: u64,
    pub(crate) series: BTreeMap<&'static str, Vec<Round>>,
    /// What is no quotient of cases: memory, start, how soon witnesses have signed.
    pub(crate) singles: Vec<Line>,
    /// Figures of those.
    pub(crate) figures: Vec<Figures>,
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

impl Line {
    /// With its verdict.
    pub(crate) fn new(title: &str, measure: &str, estimate: Estimate, reach: Option<Reach>) -> Self {
        let verdict = reach.map(|reach| reach.judge(&estimate));
        Self { title: title.to_owned(), measure: measure.to_owned(), estimate, reach, verdict }
    }
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
    pub(crate) machine: Machine,
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
    pub(crate) fn values(&self, case: &str, measure: Measure) -> Vec<f64> {
        let rounds = self.series.get(case).map(Vec::as_slice).unwrap_or_default();
        let proofs = find(case).map_or(0, |case| case.call.proofs());
        rounds.iter().map(|round| value(round, measure, proofs)).collect()
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
        Some(Line::new(claim.title, claim.measure.word(), estimate(&values)?, claim.reach))
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

    fn results(&self, machine: Machine) -> Results {
        let control: Vec<Line> = CONTROLS.iter().filter_map(|claim| self.line(claim)).collect();
        let (low, high) = CONTROL;
        let judged = control.iter().all(|line| (low..=high).contains(&line.estimate.mid));
        let mut lines: Vec<Line> = CLAIMS.iter().filter_map(|claim| self.line(claim)).collect();
        lines.extend(self.singles.iter().cloned());
        if !judged {
            lines.iter_mut().for_each(|line| line.verdict = None);
        }
        let mut figures: Vec<Figures> = CASES.iter().filter_map(|case| self.figures(case.name)).collect();
        figures.extend(self.figures.iter().cloned());
        Results { machine, rounds: self.rounds, millis: self.millis, judged, control, lines, figures }
    }
}

fn value(round: &Round, measure: Measure, proofs: usize) -> f64 {
    let told = &round.told;
    match measure {
        Measure::Rate => told.calls / (told.nanos as f64 / 1e9),
        Measure::Cpu => round.cpu as f64 / told.acknowledged.max(1) as f64,
        Measure::P99 => told.took.quantile(0.99),
        Measure::Millis => told.took.quantile(0.99) / 1e6,
        Measure::Proofs => told.calls * proofs as f64 / (told.nanos as f64 / 1e9),
        Measure::Tail => told.took.quantile(0.999) / told.took.quantile(0.99).max(1.0),
    }
}

/// Tables to the terminal and to files. Only a whole run that may be judged takes the place of the last one.
pub(crate) fn write(options: &Options, machine: Machine, run: &Run) -> Result<ExitCode, Failed> {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/results");
    let last = std::fs::read(kept.join("network.json")).ok();
    let last: Option<Results> = last.and_then(|text| serde_json::from_slice(&text).ok());
    let results = run.results(machine);
    let mut text = markdown(&results)?;
    let whole = options.cases.is_empty() && !options.quick && results.judged;
    let folder: PathBuf = if whole { kept } else { Path::new(env!("CARGO_TARGET_TMPDIR")).join("network") };
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("network.md"), &text)?;
    std::fs::write(folder.join("network.json"), serde_json::to_vec_pretty(&results)?)?;
    let quotients: Vec<Line> = results.lines.iter().filter(|line| line.is_quotient()).cloned().collect();
    std::fs::write(folder.join("ratios.svg"), plot::ratios(&quotients)?)?;
    std::fs::write(folder.join("latencies.svg"), plot::latencies(&results.figures)?)?;
    if let Some(last) = last {
        text.push_str(&compared(&results, &last)?);
    }
    writeln!(text, "\nWritten to {}", folder.display())?;
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(if results.judged { ExitCode::SUCCESS } else { ExitCode::from(RESTLESS) })
}

impl Line {
    /// Whether it has no unit.
    fn is_quotient(&self) -> bool {
        let units = ["KiB", "seconds", "ms", "proofs/s", "leaves/s", "µs"];
        // Proofs of one call beside those of another have none.
        !units.iter().any(|unit| self.measure.ends_with(unit)) || self.title.contains(" / ")
    }
}

fn markdown(results: &Results) -> Result<String, std::fmt::Error> {
    let mut text = String::from("# The network, measured\n\n");
    writeln!(text, "{}\n", results.machine.describe())?;
    writeln!(
        text,
        "{} rounds of {} ms for each case. A quotient is of one round; the table has the median of the rounds and its 5–95 % \
         interval. See [benches/README.md](../README.md).\n",
        results.rounds, results.millis
    )?;
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
        let [low, mid, high] = [low, mid, high].map(digits);
        writeln!(text, "| {} | {} | {mid} | {low}–{high} | {reach} | {verdict} |", line.title, line.measure)?;
    }
    if !results.judged {
        let sentence = "The machine is too restless to judge: the same server differed from itself by more than 10 %.";
        writeln!(text, "\n{sentence} Run it again when nothing else runs.")?;
    }
    writeln!(text, "\n| case | calls/s | p50 ms | p99 ms | p99.9 ms | server CPU µs per call | calls |")?;
    writeln!(text, "| --- | ---: | ---: | ---: | ---: | ---: | ---: |")?;
    for case in &results.figures {
        let [p50, p99, p999] = [case.p50, case.p99, case.p999].map(|millis| {
            // Of a stream there is none.
            if millis > 0.0 { format!("{millis:.3}") } else { "–".to_owned() }
        });
        let Figures { title, rate, cpu, calls, .. } = case;
        writeln!(text, "| {title} | {rate:.0} | {p50} | {p99} | {p999} | {cpu:.1} | {calls} |")?;
    }
    writeln!(text, "\n![Quotients](ratios.svg)\n\n![Latencies](latencies.svg)")?;
    Ok(text)
}

/// What differs from the last kept run by more than chance.
fn compared(now: &Results, last: &Results) -> Result<String, std::fmt::Error> {
    let mut text = format!("\n## Beside the last run ({}, commit {})\n\n", last.machine.date, last.machine.commit);
    if now.machine.cpu != last.machine.cpu {
        writeln!(text, "Another machine: {}\n", last.machine.describe())?;
    }
    writeln!(text, "| what | of | last | now | |\n| --- | --- | ---: | ---: | --- |")?;
    for line in &now.lines {
        let same = |other: &&Line| other.title == line.title && other.measure == line.measure;
        let Some(before) = last.lines.iter().find(same) else { continue };
        let change = if line.estimate.overlaps(&before.estimate) {
            String::new()
        } else {
            format!("{:+.0} %", (line.estimate.mid / before.estimate.mid - 1.0) * 100.0)
        };
        let [was, is] = [before.estimate.mid, line.estimate.mid].map(digits);
        writeln!(text, "| {} | {} | {was} | {is} | {change} |", line.title, line.measure)?;
    }
    Ok(text)
}

/// Three digits are all that means anything.
fn digits(value: f64) -> String {
    match value.abs() {
        big if big >= 10.0 => format!("{value:.1}"),
        small if small < 0.1 => format!("{value:.4}"),
        _ => format!("{value:.2}"),
    }
}

fn show(reach: Reach) -> String {
    match reach {
        Reach::AtLeast(least) => format!("≥ {least}"),
        Reach::AtMost(most) => format!("≤ {most}"),
        Reach::Between(least, most) => format!("{least}–{most}"),
    }
}
