package metrics

import "github.com/prometheus/client_golang/prometheus"

// described are the metrics that are made from [state]; those that count calls and
// deliveries as they come are in [counted].
type described struct {
	all []*prometheus.Desc

	build, mode, leader                         *prometheus.Desc
	goodRound, failedRound, goodFetch           *prometheus.Desc
	duration, rounds, failures, revisions       *prometheus.Desc
	steps, planned                              *prometheus.Desc
	mappings, findings, holds, gaps, unmanaged  *prometheus.Desc
	inSync, finding, mappingsCut, findingsCut   *prometheus.Desc
	conflict, conflicts, conflictsCut           *prometheus.Desc
	head, removalsLeft, removalsLimit, reloaded *prometheus.Desc
	reloadedAt, verdicts, reasons, phases       *prometheus.Desc
	phase, phaseSince, oldest, movesCut         *prometheus.Desc
	exposed, uninjected                         *prometheus.Desc
}

func describe() *described {
	d := &described{}
	is := func(name, help string, labels ...string) *prometheus.Desc {
		desc := prometheus.NewDesc("lanyard_"+name, help, labels, nil)
		d.all = append(d.all, desc)
		return desc
	}
	d.build = is("build_info", "Always 1: the version, commit and Go version of this binary.", "version", "commit", "go_version")
	d.mode = is("mode", "1 for the mode that is in force, 0 for the others.", "mode")
	d.leader = is("leader", "1 while this replica leads and looks, 0 while another does.")

	d.goodRound = is("last_good_round_timestamp_seconds", "When the last good round of this replica ended; 0 before the first.")
	d.failedRound = is("last_failed_round_timestamp_seconds", "When a round last failed; 0 if none has.")
	d.goodFetch = is("last_good_fetch_timestamp_seconds", "When Git was last read well, moved or not; 0 before the first time.")
	d.duration = is("round_duration_seconds", "How long good rounds took; partial ones are left out.")
	d.rounds = is("rounds_total", "Rounds by result: good, partial (between two whole ones, about some subjects), or failed before there was anything to report.", "result")
	d.failures = is("round_failures_total", "Failed rounds by the stage that failed and by what its error asks for.", "stage", "remedy")
	d.revisions = is("git_revisions_total", "How often Git was found at another revision than before.")

	d.steps = is("steps_total", "Steps by effect, action and what they came to.", "effect", "action", "result")
	d.planned = is("steps_planned", "Steps that the last good round planned, taken or not.", "effect")
	d.mappings = is("mappings", "Mappings by the mechanism that is wanted, and by class.", "mechanism", "class")
	d.findings = is("findings", "Findings of the last good round by kind and severity.", "kind", "severity")
	d.holds = is("holds", "What the last good round left undone, by reason.", "reason")
	d.gaps = is("gaps", "Reads without an answer in the last good round, by what was read.", "source")
	d.unmanaged = is("unmanaged_service_accounts", "ServiceAccounts that are wired to a role and that Git does not name.")

	d.verdicts = is("workloads", "ServiceAccounts that Git names or that are wired, by whether EKS Pod Identity can serve them.", "verdict")
	d.reasons = is("workload_reasons", "How many of them have a reason to stay on IRSA, or one that a person can clear.", "reason")
	d.phases = is("workload_phases", "Mappings by where they are on the way to the mechanism that Git wants.", "phase")

	d.oldest = is("migration_phase_oldest_start_timestamp_seconds", "Since when the mapping has been in this phase that is in it the longest; 0 for none. A new leader counts anew.", "phase")
	d.phase = is("migration_phase", "Always 1: the mapping is on its way, and in this phase; gone when it has settled.", "namespace", "service_account", "phase")
	d.phaseSince = is("migration_phase_start_timestamp_seconds", "Since when the mapping has been in its phase. A new leader counts anew.", "namespace", "service_account")
	d.movesCut = is("migrations_unlisted", "Mappings on their way without series of their own, for the limit on them.")
	d.exposed = is("pods_exposed", "Pods that were given EKS Pod Identity while there is no association: nobody answers them once what they hold has run out.")
	d.uninjected = is("pods_uninjected", "Pods that were given nothing, though what they should be given is wired.")

	d.inSync = is("mapping_in_sync", "1 if the mapping is as Git wants it, 0 if it differs or a fact is missing.", "namespace", "service_account")
	d.finding = is("finding", "Always 1: a finding of the last good round, gone when it is gone.", "namespace", "service_account", "kind", "severity")
	d.mappingsCut = is("mappings_unlisted", "Mappings without a series of their own, for the limit on them.")
	d.findingsCut = is("findings_unlisted", "Findings without a series of their own, for the limit on them.")
	d.conflict = is("write_conflict", "Always 1: another writer takes back what lanyard writes, so it has stopped there.", "namespace", "service_account")
	d.conflicts = is("write_conflicts", "ServiceAccounts at which another writer takes back what lanyard writes.")
	d.conflictsCut = is("write_conflicts_unlisted", "Write conflicts without a series of their own, for the limit on them.")

	d.head = is("revision_held", "1 while the head of Git is held back for this reason, and the last accepted revision stands.", "reason")
	d.removalsLeft = is("removals_left", "Removals that this hour's budget still allows.")
	d.removalsLimit = is("removals_limit", "Removals that the budget allows in an hour.")
	d.reloaded = is("config_last_reload_successful", "1 if the configuration was last read well, 0 if it was refused and the last good one stands.")
	d.reloadedAt = is("config_last_reload_success_timestamp_seconds", "When the configuration in force was read.")
	return d
}

// Describe sends every metric that is made from the state.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range m.is.all {
		ch <- d
	}
}
