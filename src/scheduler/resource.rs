//! Checks and completes what a job asks for.
//!
//! [`JobResource::checked`] follows aiida-core 2.9's `SlurmJobResource` (and `NodeNumberJobResource` under it): the
//! same combinations, the same derived numbers, the same refusals in the same order, and no panic whatever the numbers.
//! Three things follow from copying those rules:
//!
//! - Two of the three numbers of nodes and processes settle the third, by division rounded down; a remainder then
//!   shows as a mismatch.
//! - Cores for a process are not checked on their own: zero leaves the line out of the script, and a negative number is
//!   left for Slurm to refuse.
//! - The number of processes is checked only against the product.
//!
//! Two things differ, for numbers that no machine has: where Python counts without end, more than [`i64::MAX`]
//! processes are refused; and cores are divided as whole numbers, where AiiDA goes through floating point and rounds
//! above 2^53.

use super::template::{InvalidTemplate, JobResource};

/// Resources that hold together, with what follows from them filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckedResource {
    /// Nodes: 1 or more.
    pub num_machines: i64,
    /// MPI processes on each node: 1 or more.
    pub num_mpiprocs_per_machine: i64,
    /// MPI processes altogether: the product of the two.
    pub tot_num_mpiprocs: i64,
    /// Cores used on each node, as given.
    pub num_cores_per_machine: Option<i64>,
    /// Cores for each MPI process: as given, or worked out from the cores on a node.
    pub num_cores_per_mpiproc: Option<i64>,
}

impl JobResource {
    /// Completes the numbers, or says which of them is wrong.
    pub fn checked(&self) -> Result<CheckedResource, InvalidTemplate> {
        let given = [self.num_machines, self.num_mpiprocs_per_machine, self.tot_num_mpiprocs];
        if given.iter().flatten().count() < 2 {
            return Err(InvalidTemplate::ResourceIncomplete { given: *self });
        }
        if let Some(machines) = self.num_machines {
            at_least_one("num_machines", machines)?;
        }
        if let Some(procs) = self.num_mpiprocs_per_machine {
            at_least_one("num_mpiprocs_per_machine", procs)?;
        }

        let (num_machines, num_mpiprocs_per_machine, tot_num_mpiprocs) =
            match (self.num_machines, self.num_mpiprocs_per_machine, self.tot_num_mpiprocs) {
                (Some(machines), Some(procs), Some(total)) => (machines, procs, total),
                (Some(machines), Some(procs), None) => {
                    let total = machines.checked_mul(procs).ok_or(InvalidTemplate::TooManyProcesses {
                        num_machines: machines,
                        num_mpiprocs_per_machine: procs,
                    })?;
                    (machines, procs, total)
                }
                // The divisor is 1 or more: this rounds down, as Python does, and cannot overflow.
                (Some(machines), None, Some(total)) => (machines, total.div_euclid(machines), total),
                (None, Some(procs), Some(total)) => (total.div_euclid(procs), procs, total),
                _ => return Err(InvalidTemplate::ResourceIncomplete { given: *self }),
            };

        if !is_product(tot_num_mpiprocs, num_machines, num_mpiprocs_per_machine) {
            return Err(InvalidTemplate::ProcessesMismatch {
                tot_num_mpiprocs,
                num_machines,
                num_mpiprocs_per_machine,
            });
        }
        // What was worked out can still be zero or less, when the total is.
        at_least_one("num_mpiprocs_per_machine", num_mpiprocs_per_machine)?;
        at_least_one("num_machines", num_machines)?;

        let cores_mismatch = |num_cores_per_machine| InvalidTemplate::CoresMismatch {
            num_cores_per_machine,
            num_cores_per_mpiproc: self.num_cores_per_mpiproc,
            num_mpiprocs_per_machine,
        };
        let num_cores_per_mpiproc = match (self.num_cores_per_machine, self.num_cores_per_mpiproc) {
            (Some(cores), Some(per_proc)) => {
                if !is_product(cores, per_proc, num_mpiprocs_per_machine) {
                    return Err(cores_mismatch(cores));
                }
                Some(per_proc)
            }
            (Some(cores), None) => {
                at_least_one("num_cores_per_machine", cores)?;
                if cores % num_mpiprocs_per_machine != 0 {
                    return Err(cores_mismatch(cores));
                }
                Some(cores / num_mpiprocs_per_machine)
            }
            (None, per_proc) => per_proc,
        };

        Ok(CheckedResource {
            num_machines,
            num_mpiprocs_per_machine,
            tot_num_mpiprocs,
            num_cores_per_machine: self.num_cores_per_machine,
            num_cores_per_mpiproc,
        })
    }
}

fn at_least_one(field: &'static str, value: i64) -> Result<(), InvalidTemplate> {
    if value < 1 { Err(InvalidTemplate::BelowOne { field, value }) } else { Ok(()) }
}

/// In 128 bits no product of two 64-bit numbers overflows.
fn is_product(product: i64, a: i64, b: i64) -> bool {
    i128::from(product) == i128::from(a) * i128::from(b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Nodes, processes on each, processes altogether, cores on a node, cores for a process.
    type Numbers = (Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<i64>);

    /// Nodes, processes on each, processes altogether, cores for a process.
    type Completed = (i64, i64, i64, Option<i64>);

    fn resource((machines, procs, total, cores, per_proc): Numbers) -> JobResource {
        JobResource {
            num_machines: machines,
            num_mpiprocs_per_machine: procs,
            num_cores_per_machine: cores,
            num_cores_per_mpiproc: per_proc,
            tot_num_mpiprocs: total,
        }
    }

    #[test]
    fn accepts_and_completes() {
        let cases: [(Numbers, Completed); 12] = [
            ((Some(2), Some(3), None, None, None), (2, 3, 6, None)),
            ((Some(2), None, Some(6), None, None), (2, 3, 6, None)),
            ((None, Some(3), Some(6), None, None), (2, 3, 6, None)),
            ((Some(2), Some(3), Some(6), None, None), (2, 3, 6, None)),
            ((Some(1), Some(4), None, Some(8), None), (1, 4, 4, Some(2))),
            ((Some(1), Some(4), None, Some(8), Some(2)), (1, 4, 4, Some(2))),
            ((Some(1), Some(4), None, None, Some(2)), (1, 4, 4, Some(2))),
            // AiiDA checks cores for a process only against the cores on a node.
            ((Some(1), Some(4), None, None, Some(0)), (1, 4, 4, Some(0))),
            ((Some(1), Some(4), None, None, Some(-2)), (1, 4, 4, Some(-2))),
            ((Some(1), Some(4), None, Some(-8), Some(-2)), (1, 4, 4, Some(-2))),
            ((Some(1), Some(4), None, Some(0), Some(0)), (1, 4, 4, Some(0))),
            ((Some(1), Some(1), None, Some(i64::MAX), None), (1, 1, 1, Some(i64::MAX))),
        ];
        for (numbers, (machines, procs, total, per_proc)) in cases {
            let expected = CheckedResource {
                num_machines: machines,
                num_mpiprocs_per_machine: procs,
                tot_num_mpiprocs: total,
                num_cores_per_machine: numbers.3,
                num_cores_per_mpiproc: per_proc,
            };
            assert_eq!(resource(numbers).checked(), Ok(expected), "{numbers:?}");
        }
    }

    #[test]
    fn refuses_in_the_order_of_aiida() {
        let below = |field, value| InvalidTemplate::BelowOne { field, value };
        let processes = |total, machines, procs| InvalidTemplate::ProcessesMismatch {
            tot_num_mpiprocs: total,
            num_machines: machines,
            num_mpiprocs_per_machine: procs,
        };
        let cores = |cores, per_proc, procs| InvalidTemplate::CoresMismatch {
            num_cores_per_machine: cores,
            num_cores_per_mpiproc: per_proc,
            num_mpiprocs_per_machine: procs,
        };
        let incomplete = |numbers| InvalidTemplate::ResourceIncomplete { given: resource(numbers) };
        let one_only = (Some(0), None, None, Some(1), Some(1));
        let cases: [(Numbers, InvalidTemplate); 15] = [
            ((None, None, None, None, None), incomplete((None, None, None, None, None))),
            // Too few numbers comes before a number too small.
            (one_only, incomplete(one_only)),
            ((Some(0), Some(0), None, None, None), below("num_machines", 0)),
            ((Some(1), Some(-1), None, None, None), below("num_mpiprocs_per_machine", -1)),
            ((None, Some(0), Some(4), None, None), below("num_mpiprocs_per_machine", 0)),
            ((Some(0), None, Some(4), None, None), below("num_machines", 0)),
            ((Some(2), Some(3), Some(7), None, None), processes(7, 2, 3)),
            ((Some(2), None, Some(7), None, None), processes(7, 2, 3)),
            // More nodes than processes: none is left for a node, which shows as a mismatch.
            ((Some(3), None, Some(1), None, None), processes(1, 3, 0)),
            ((Some(3), None, Some(0), None, None), below("num_mpiprocs_per_machine", 0)),
            ((Some(3), None, Some(-3), None, None), below("num_mpiprocs_per_machine", -1)),
            ((None, Some(3), Some(-3), None, None), below("num_machines", -1)),
            ((Some(1), Some(4), None, Some(9), Some(2)), cores(9, Some(2), 4)),
            ((Some(1), Some(4), None, Some(9), None), cores(9, None, 4)),
            ((Some(1), Some(4), None, Some(0), None), below("num_cores_per_machine", 0)),
        ];
        for (numbers, expected) in cases {
            assert_eq!(resource(numbers).checked(), Err(expected), "{numbers:?}");
        }
    }

    #[test]
    fn products_beyond_64_bits_are_refused_not_wrapped() {
        let too_many = resource((Some(i64::MAX), Some(2), None, None, None)).checked();
        assert_eq!(
            too_many,
            Err(InvalidTemplate::TooManyProcesses { num_machines: i64::MAX, num_mpiprocs_per_machine: 2 })
        );
        // 2^32 times 2^32 wraps to 0 in 64 bits.
        let wrapping = resource((Some(1 << 32), Some(1 << 32), Some(0), None, None)).checked();
        assert!(matches!(wrapping, Err(InvalidTemplate::ProcessesMismatch { .. })), "{wrapping:?}");
        let wrapping = resource((Some(1), Some(1 << 32), None, Some(0), Some(1 << 32))).checked();
        assert!(matches!(wrapping, Err(InvalidTemplate::CoresMismatch { .. })), "{wrapping:?}");
    }

    fn number() -> impl Strategy<Value = Option<i64>> {
        prop::option::of(prop_oneof![-3..13i64, any::<i64>(), Just(i64::MIN), Just(i64::MAX)])
    }

    proptest! {
        #[test]
        fn what_is_accepted_holds_together(numbers in (number(), number(), number(), number(), number())) {
            let given = resource(numbers);
            if let Ok(checked) = given.checked() {
                prop_assert!(checked.num_machines >= 1 && checked.num_mpiprocs_per_machine >= 1);
                prop_assert!(is_product(
                    checked.tot_num_mpiprocs,
                    checked.num_machines,
                    checked.num_mpiprocs_per_machine
                ));
                for (given, kept) in [
                    (given.num_machines, checked.num_machines),
                    (given.num_mpiprocs_per_machine, checked.num_mpiprocs_per_machine),
                    (given.tot_num_mpiprocs, checked.tot_num_mpiprocs),
                ] {
                    prop_assert!(given.is_none_or(|given| given == kept));
                }
                if let Some(cores) = checked.num_cores_per_machine {
                    let per_proc = checked.num_cores_per_mpiproc.unwrap();
                    prop_assert!(is_product(cores, per_proc, checked.num_mpiprocs_per_machine));
                }
            }
        }
    }
}
