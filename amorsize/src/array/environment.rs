//! The variables by which an engine tells a process its task, and the memory and threads of the
//! task.

use crate::units::ByteSize;

use super::ArrayError;

/// The variables of an engine. The table of the guide's page lists the same.
struct Engine {
    /// The variable with the index of the task.
    index: &'static str,
    /// The index of the first task.
    first: usize,
    /// A text that stands for no index.
    none: Option<&'static str>,
    /// Finds the threads of the task.
    threads: fn(&Variables<'_>) -> Option<usize>,
}

const TASK: &str = "AMORSIZE_TASK";
const TASKS: &str = "AMORSIZE_TASKS";
const MEMORY: &str = "AMORSIZE_MEMORY";
const THREADS: &str = "AMORSIZE_THREADS";

/// The most tasks of an array. It is more than engines take (Slurm 4,000,001 at most), and few
/// enough to look for the results of each: with a wrong number that would never end.
const MOST_TASKS: usize = 4 << 20;

/// The only engine that tells the memory of a task.
const SLURM: &str = "SLURM_ARRAY_TASK_ID";

/// An engine that counts tasks from 0, and tells no threads.
const PLAIN: Engine = Engine { index: "", first: 0, none: None, threads: |_| None };

const ENGINES: [Engine; 9] = [
    Engine {
        index: SLURM,
        threads: |told| told.count("SLURM_CPUS_PER_TASK").or_else(|| told.count("SLURM_CPUS_ON_NODE")),
        ..PLAIN
    },
    Engine {
        index: "HQ_TASK_ID",
        threads: |told| {
            let cpus = told.get("HQ_CPUS")?;
            Some(cpus.split(',').filter(|cpu| !cpu.trim().is_empty()).count()).filter(|&cpus| cpus > 0)
        },
        ..PLAIN
    },
    // These have tasks in containers, and the library reads a container's limits itself.
    Engine { index: "JOB_COMPLETION_INDEX", ..PLAIN },
    Engine { index: "AWS_BATCH_JOB_ARRAY_INDEX", ..PLAIN },
    Engine { index: "BATCH_TASK_INDEX", ..PLAIN },
    Engine { index: "PARALLEL_SEQ", first: 1, ..PLAIN },
    Engine { index: "SGE_TASK_ID", first: 1, none: Some("undefined"), threads: |told| told.count("NSLOTS") },
    Engine { index: "LSB_JOBINDEX", first: 1, none: Some("0"), threads: |told| told.count("LSB_DJOB_NUMPROC") },
    Engine { index: "PBS_ARRAY_INDEX", threads: |told| told.count("NCPUS"), ..PLAIN },
];

fn slurm_memory(told: &Variables<'_>) -> Result<Option<ByteSize>, ArrayError> {
    let mebibytes = |name: &'static str| {
        let Some(text) = told.get(name) else { return Ok(None) };
        let number = text.parse::<u64>();
        number.map(Some).map_err(|_| {
            ArrayError::refused(format!(
                "{name} is {text:?}, which is no number of MiB: unset it, or state the task's memory by {MEMORY}"
            ))
        })
    };
    let node = mebibytes("SLURM_MEM_PER_NODE")?;
    let all = match node {
        Some(node) => Some(node),
        None => mebibytes("SLURM_MEM_PER_CPU")?
            .map(|cpu| cpu.saturating_mul(told.count("SLURM_CPUS_ON_NODE").unwrap_or(1) as u64)),
    };
    // 0 stands for all memory of the node.
    Ok(all.filter(|&mebibytes| mebibytes > 0).map(|mebibytes| ByteSize::new(mebibytes.saturating_mul(1 << 20))))
}

/// Looks up the value of a variable.
struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    /// An empty variable counts as unset: that is how scripts unset variables.
    fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// A number above 0, if the variable has one.
    fn count(&self, name: &str) -> Option<usize> {
        self.get(name)?.parse().ok().filter(|&count| count > 0)
    }

    /// A number that a person gave.
    fn stated(&self, name: &str) -> Result<Option<usize>, ArrayError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|&number: &usize| number > 0);
        number.map(Some).ok_or_else(|| ArrayError::refused(format!("{name} is {text:?}: use a number above 0")))
    }
}

/// The part of this process in an array job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It runs this task's share.
    Task(usize),
    /// It runs all shares that are missing, one by one.
    All,
    /// It gives the results of all tasks.
    Gather,
}

/// The contents of the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Environment {
    pub(super) role: Role,
    pub(super) tasks: usize,
    /// The memory of the task, resident memory included, if the engine tells it.
    pub(super) memory: Option<ByteSize>,
    /// The threads that the engine grants.
    pub(super) granted_threads: Option<usize>,
    /// The threads that a person stated. They take precedence over those in the code.
    pub(super) stated_threads: Option<usize>,
}

impl Environment {
    /// Reads the environment of this process. `tasks` is the number in the code.
    pub(super) fn read(tasks: usize) -> Result<Self, ArrayError> {
        Self::of(tasks, &|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    fn of(tasks: usize, get: &dyn Fn(&str) -> Option<String>) -> Result<Self, ArrayError> {
        let told = Variables(get);
        let tasks = told.stated(TASKS)?.unwrap_or(tasks);
        if tasks == 0 {
            return Err(ArrayError::refused("an array of 0 tasks has no results: give `array` a number above 0"));
        }
        if tasks > MOST_TASKS {
            return Err(ArrayError::refused(format!(
                "an array can't have {tasks} tasks: give `array` or {TASKS} at most {MOST_TASKS}"
            )));
        }
        let indices: Vec<(&Engine, String)> = ENGINES
            .iter()
            .filter_map(|engine| {
                let text = told.get(engine.index)?;
                (engine.none != Some(text.as_str())).then_some((engine, text))
            })
            .collect();
        let role = match (told.get(TASK), indices.as_slice()) {
            (Some(text), _) if text == "all" => Role::All,
            (Some(text), _) => index(TASK, 0, &text, tasks)?,
            (None, []) => Role::Gather,
            (None, [(engine, text)]) => index(engine.index, engine.first, text, tasks)?,
            (None, [(one, text), (other, other_text), ..]) => {
                return Err(ArrayError::refused(format!(
                    "{} is {text} and {} is {other_text}, so two engines name a task: state it by {TASK}, counted from 0",
                    one.index, other.index
                )));
            }
        };
        let memory = match told.get(MEMORY) {
            Some(text) => Some(text.parse().map_err(|_| {
                ArrayError::refused(format!("{MEMORY} is {text:?}: use bytes with a unit, such as \"2GiB\""))
            })?),
            // A task that a person names may run in a job that is no array.
            None if told.get(TASK).is_some() || told.get(SLURM).is_some() => slurm_memory(&told)?,
            None => None,
        };
        let granted_threads = indices.iter().find_map(|(engine, _)| (engine.threads)(&told));
        Ok(Self { role, tasks, memory, granted_threads, stated_threads: told.stated(THREADS)? })
    }
}

/// The task with the index `text`, which is from the variable `name`.
fn index(name: &str, first: usize, text: &str, tasks: usize) -> Result<Role, ArrayError> {
    let last = first + (tasks - 1);
    let Ok(index) = text.parse::<usize>() else {
        let all = if name == TASK { ", or \"all\"" } else { "" };
        return Err(ArrayError::refused(format!(
            "{name} is {text:?}, which is no number: use one of {first} to {last}{all}"
        )));
    };
    match index.checked_sub(first).filter(|&task| task < tasks) {
        Some(task) => Ok(Role::Task(task)),
        None => Err(ArrayError::refused(format!(
            "{name} is {index}, and the {tasks} tasks are {first} to {last}: submit those, or give `array` or {TASKS} another \
             number"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tasks: usize, variables: &[(&str, &str)]) -> Result<Environment, String> {
        let get = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Environment::of(tasks, &get).map_err(|error| {
            assert_eq!(error.code(), 78);
            error.to_string()
        })
    }

    fn role(variables: &[(&str, &str)]) -> Role {
        of(16, variables).unwrap().role
    }

    #[test]
    fn each_engine_names_its_task() {
        assert_eq!(role(&[]), Role::Gather);
        // tests/array holds the names and numbers against the table of the guide's page.
        let engines = ENGINES.iter().map(|engine| (engine.index, engine.first));
        for (name, first) in engines.chain([(TASK, 0)]) {
            assert_eq!(role(&[(name, &first.to_string())]), Role::Task(0));
            assert_eq!(role(&[(name, &(first + 15).to_string())]), Role::Task(15), "{name}");
            let beyond = (first + 16).to_string();
            assert_eq!(
                of(16, &[(name, &beyond)]).unwrap_err(),
                format!(
                    "{name} is {beyond}, and the 16 tasks are {first} to {}: submit those, or give `array` or AMORSIZE_TASKS \
                     another number",
                    first + 15
                )
            );
        }
        assert_eq!(role(&[("SGE_TASK_ID", "undefined")]), Role::Gather);
        assert_eq!(role(&[("LSB_JOBINDEX", "0")]), Role::Gather);
        assert_eq!(role(&[("AMORSIZE_TASK", "all")]), Role::All);
        assert_eq!(role(&[("AMORSIZE_TASK", "")]), Role::Gather);
        // The batch script of a gathering process has these.
        assert_eq!(role(&[("SLURM_PROCID", "0"), ("SLURM_ARRAY_TASK_COUNT", "2")]), Role::Gather);
        assert!(of(16, &[("PARALLEL_SEQ", "0")]).unwrap_err().starts_with("PARALLEL_SEQ is 0, and the 16 tasks are 1"));
    }

    #[test]
    fn two_engines_are_refused_by_name_unless_the_task_is_stated() {
        let both = [("SLURM_ARRAY_TASK_ID", "3"), ("PARALLEL_SEQ", "1"), ("SGE_TASK_ID", "undefined")];
        assert_eq!(
            of(16, &both).unwrap_err(),
            "SLURM_ARRAY_TASK_ID is 3 and PARALLEL_SEQ is 1, so two engines name a task: state it by AMORSIZE_TASK, counted \
             from 0"
        );
        assert_eq!(role(&[both[0], both[1], ("AMORSIZE_TASK", "7")]), Role::Task(7));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert_eq!(
            of(16, &[("AMORSIZE_TASK", "three")]).unwrap_err(),
            "AMORSIZE_TASK is \"three\", which is no number: use one of 0 to 15, or \"all\""
        );
        assert_eq!(
            of(16, &[("SGE_TASK_ID", "-1")]).unwrap_err(),
            "SGE_TASK_ID is \"-1\", which is no number: use one of 1 to 16"
        );
        assert_eq!(of(16, &[("AMORSIZE_TASKS", "0")]).unwrap_err(), "AMORSIZE_TASKS is \"0\": use a number above 0");
        assert_eq!(of(0, &[]).unwrap_err(), "an array of 0 tasks has no results: give `array` a number above 0");
        for tasks in [5_000_000, usize::MAX] {
            let says = format!("an array can't have {tasks} tasks: give `array` or AMORSIZE_TASKS at most 4194304");
            assert_eq!(of(tasks, &[]).unwrap_err(), says);
            assert_eq!(of(1, &[("AMORSIZE_TASKS", &tasks.to_string())]).unwrap_err(), says);
            assert_eq!(of(tasks, &[("AMORSIZE_TASKS", "4194304")]).unwrap().tasks, 4_194_304);
        }
        assert_eq!(
            of(16, &[("AMORSIZE_MEMORY", "much")]).unwrap_err(),
            "AMORSIZE_MEMORY is \"much\": use bytes with a unit, such as \"2GiB\""
        );
        assert_eq!(
            of(1, &[("SLURM_ARRAY_TASK_ID", "0"), ("SLURM_MEM_PER_NODE", "2G")]).unwrap_err(),
            "SLURM_MEM_PER_NODE is \"2G\", which is no number of MiB: unset it, or state the task's memory by AMORSIZE_MEMORY"
        );
        assert_eq!(of(16, &[("AMORSIZE_TASKS", "32"), ("AMORSIZE_TASK", "31")]).unwrap().role, Role::Task(31));
    }

    #[test]
    fn a_task_has_the_memory_and_the_threads_that_its_engine_grants() {
        let told = |variables: &[(&str, &str)]| {
            let told = of(16, variables).unwrap();
            (told.memory, told.granted_threads)
        };
        let slurm = ("SLURM_ARRAY_TASK_ID", "3");
        assert_eq!(told(&[slurm, ("SLURM_MEM_PER_NODE", "96")]), (Some(ByteSize::mib(96)), None));
        assert_eq!(told(&[slurm, ("SLURM_MEM_PER_NODE", "0")]), (None, None));
        let by_cpu = [slurm, ("SLURM_MEM_PER_CPU", "50"), ("SLURM_CPUS_ON_NODE", "4")];
        assert_eq!(told(&by_cpu), (Some(ByteSize::mib(200)), Some(4)));
        assert_eq!(told(&[slurm, ("SLURM_CPUS_PER_TASK", "2"), ("SLURM_CPUS_ON_NODE", "4")]), (None, Some(2)));
        // A stated value takes precedence.
        assert_eq!(told(&[slurm, ("SLURM_MEM_PER_NODE", "96"), ("AMORSIZE_MEMORY", "2GiB")]).0, Some(ByteSize::gib(2)));
        let stated = of(16, &[slurm, ("AMORSIZE_THREADS", "3"), ("SLURM_CPUS_ON_NODE", "4")]).unwrap();
        assert_eq!((stated.stated_threads, stated.granted_threads), (Some(3), Some(4)));
        // A stated task keeps what its engine grants.
        let stated = [("AMORSIZE_TASK", "2"), ("SLURM_ARRAY_TASK_ID", "3"), ("SLURM_MEM_PER_NODE", "96")];
        assert_eq!(told(&stated).0, Some(ByteSize::mib(96)));
        // So does one in a job that is no array.
        let stated = [("AMORSIZE_TASK", "all"), ("SLURM_MEM_PER_NODE", "96"), ("NCPUS", "7")];
        assert_eq!(told(&stated), (Some(ByteSize::mib(96)), None));

        assert_eq!(told(&[("HQ_TASK_ID", "0"), ("HQ_CPUS", "1,4,6")]), (None, Some(3)));
        assert_eq!(told(&[("SGE_TASK_ID", "1"), ("NSLOTS", "5")]), (None, Some(5)));
        assert_eq!(told(&[("LSB_JOBINDEX", "1"), ("LSB_DJOB_NUMPROC", "6")]), (None, Some(6)));
        assert_eq!(told(&[("PBS_ARRAY_INDEX", "0"), ("NCPUS", "7")]), (None, Some(7)));
        for container in ["JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX", "BATCH_TASK_INDEX"] {
            assert_eq!(told(&[(container, "0"), ("SLURM_MEM_PER_NODE", "96"), ("NCPUS", "7")]), (None, None));
        }
        assert_eq!(told(&[("PARALLEL_SEQ", "1"), ("AMORSIZE_MEMORY", "1GiB")]), (Some(ByteSize::gib(1)), None));
    }
}
