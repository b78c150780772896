package metrics

import (
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Metric is a metric as docs/metrics.md shows it: the page's tables and the help that a
// scrape carries are both made of it.
type Metric struct {
	Section string   // the page's heading
	Name    string   // with its prefix
	Type    string   // gauge, counter or histogram
	Labels  []string // sorted
	About   string   // what it says, in Markdown
	Alert   string   // when to alert on it, in Markdown; "no" for never
}

// Table returns every metric of lanyard's, in the order of docs/metrics.md.
func Table() []Metric { return slices.Clone(describe().table) }

// The types of metrics.
const (
	gauge     = "gauge"
	counter   = "counter"
	histogram = "histogram"
)

// described are the metrics that are made from [state]; those that count calls and
// deliveries as they come are in [counted], and those of client-go in [Kube].
type described struct {
	table   []Metric
	all     []*prometheus.Desc
	section string

	build, mode, leader, terms                             *prometheus.Desc
	goodRound, failedRound, goodFetch                      *prometheus.Desc
	duration, rounds, failures, revisions                  *prometheus.Desc
	steps, planned, motion                                 *prometheus.Desc
	mappings, findings, holds, gaps, unmanaged             *prometheus.Desc
	inSync, finding, mappingsCut, findingsCut, limit       *prometheus.Desc
	drift, driftOldest, driftCut                           *prometheus.Desc
	onsets, flaps, flapsCut                                *prometheus.Desc
	conflict, conflicts, conflictsCut                      *prometheus.Desc
	head, heldSince, acceptedSince, signed, verifications  *prometheus.Desc
	removalsLeft, removalsLimit, reloaded, reloadedAt      *prometheus.Desc
	verdicts, reasons, phases                              *prometheus.Desc
	phase, phaseSince, oldest, movesCut                    *prometheus.Desc
	exposed, uninjected, nodeRole, troubled, troubledCut   *prometheus.Desc
	quotaUsed, quotaLimit, quotasCut, trustSize            *prometheus.Desc
	budgetLeft, budgetLimit, seen                          *prometheus.Desc
	gitLooks                                               *prometheus.Desc
	gitTook, calls, throttles, took, waited, hooks, events Metric
	identities                                             Metric
	pullsShown, pullsCalls, pullsLeft                      Metric
	requests, requestTook, requestWaited, requestRetries   Metric
}

// row adds a metric to the table.
func (d *described) row(sort, name, about, alert string, labels ...string) Metric {
	slices.Sort(labels)
	m := Metric{Section: d.section, Name: "lanyard_" + name, Type: sort, Labels: labels, About: about, Alert: alert}
	d.table = append(d.table, m)
	return m
}

// described adds a metric that is made from the state. Its labels are given in the order
// in which their values come.
func (d *described) is(sort, name, about, alert string, labels ...string) *prometheus.Desc {
	m := d.row(sort, name, about, alert, slices.Clone(labels)...)
	desc := prometheus.NewDesc(m.Name, m.help(), labels, nil)
	d.all = append(d.all, desc)
	return desc
}

var linkRE = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)

// help is what a metric says, without the page's markup.
func (m Metric) help() string {
	return strings.NewReplacer("`", "", `\|`, "|").Replace(linkRE.ReplaceAllString(m.About, "$1"))
}

func (m Metric) opts() prometheus.Opts { return prometheus.Opts{Name: m.Name, Help: m.help()} }

func (m Metric) counter() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts(m.opts()), m.Labels)
}

func (m Metric) gauge() prometheus.Gauge { return prometheus.NewGauge(prometheus.GaugeOpts(m.opts())) }

func (m Metric) histogram(buckets ...float64) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: m.Name, Help: m.help(), Buckets: buckets}, m.Labels)
}

func describe() *described {
	d := &described{}
	d.looks()
	d.git()
	d.found()
	d.pods()
	d.moved()
	d.done()
	d.quotas()
	d.costs()
	return d
}

func (d *described) looks() {
	d.section = "Is it looking?"
	d.goodRound = d.is(gauge, "last_good_round_timestamp_seconds", "When the last good round of this replica ended; 0 before the first.",
		"`time() - max(...) > 600`, and `absent(...)`: nobody is looking")
	d.failedRound = d.is(gauge, "last_failed_round_timestamp_seconds", "When a round last failed; 0 if none has.", "no: see the one above")
	d.duration = d.is(histogram, "round_duration_seconds", "How long good rounds took; partial ones are left out.", "p90 over the interval: rounds no longer fit")
	d.rounds = d.is(counter, "rounds_total", "Rounds: `good`, `partial` (between two whole ones, about subjects in motion only), or `failed` before there was anything to report.",
		"`rate(...{result=\"failed\"}[15m]) > 0` for 15 min", "result")
	d.failures = d.is(counter, "round_failures_total", "Failed rounds by stage (`cluster`, `git`, `observe`, `round`) and by what the error asks for (`retry`, `replan`, `hold`, `halt`).",
		"`remedy=\"halt\"`: an invariant broke, a person must look", "stage", "remedy")
	d.gaps = d.is(gauge, "gaps", "Reads without an answer in the last good round, by AWS action or Kubernetes resource.",
		"`sum(...) > 0` for 30 min: lanyard is blind there, and writes nothing about it", "source")
	d.seen = d.is(gauge, "objects_seen", "What the last good round saw of the cluster, and how many IAM roles it looked at.", "no; 0 pods is a watch that shows nothing", "object")
	d.leader = d.is(gauge, "leader", "1 while this replica leads and looks, 0 while another does.", "`sum(...) != 1` for 5 min")
	d.terms = d.is(counter, "terms_total", "How often this replica began to lead.", "`increase(...[1h]) > 3`: the Lease changes hands all the time")
	d.mode = d.is(gauge, "mode", "1 for the mode that is in force: `observe`, `repair`, `migrate`.", "on change, if modes are pinned by policy", "mode")
	d.reloaded = d.is(gauge, "config_last_reload_successful", "1 if the configuration was last read well, 0 if it was refused and the last good one stands.", "`== 0` for 5 min")
	d.reloadedAt = d.is(gauge, "config_last_reload_success_timestamp_seconds", "When the configuration in force was read.", "no")
	d.limit = d.is(gauge, "series_limit", "How many series a metric with series of its own for each mapping may have (`--mapping-series-limit`); the metrics that end in `_unlisted` say how many were cut off.", "no: on those")
	d.build = d.is(gauge, "build_info", "Always 1: the version, commit and Go version of this binary.", "`count(count by (version) (...)) > 1` for an hour: a roll-out is stuck", "version", "commit", "go_version")
}

func (d *described) git() {
	d.section = "Git"
	d.goodFetch = d.is(gauge, "last_good_fetch_timestamp_seconds", "When Git was last read well, moved or not; 0 before the first time.",
		"`time() - max(...) > 900`: Git is out of reach, and lanyard keeps the last revision")
	d.gitLooks = d.is(counter, "git_looks_total", "Looks at the head of Git, by what came of them: `followed`, or why it is held back.",
		"no: on the ones above and below", "result")
	d.gitTook = d.row(histogram, "git_look_duration_seconds", "How long looks at Git took, the fetch of what is new included.", "p90 over 30 s: the host is slow")
	d.revisions = d.is(counter, "git_revisions_total", "How often Git was found at another revision than before.", "no; an annotation for graphs")
	d.acceptedSince = d.is(gauge, "revision_accepted_timestamp_seconds", "When the revision in force was accepted, or first seen to be in force by this process; 0 for none.", "no; an annotation for graphs")
	d.head = d.is(gauge, "revision_held", "1 while the head of Git is held back, and the last accepted revision stands: `unreachable`, `invalid`, `unsigned`, `rewound`, `empty`.",
		"`max by (reason) (...) == 1` for 10 min", "reason")
	d.heldSince = d.is(gauge, "revision_held_start_timestamp_seconds", "Since when the head has been held back without a break; 0 while it is not.", "no: on the one above")
	d.signed = d.is(gauge, "git_signatures_required", "1 if the configuration asks for signed commits.", "`== 0`, where policy asks for them")
	d.verifications = d.is(counter, "git_verifications_total", "New heads by what their signature was: `good`, or its [fault](operations.md#when-the-head-of-git-is-held). None while signatures are not required.",
		"`increase(...{result!=\"good\"}[1h]) > 0`: an unsigned commit reached the branch", "result")
}

func (d *described) found() {
	d.section = "What is found"
	d.findings = d.is(gauge, "findings", "Findings of the last good round. Kinds are those of [findings](findings.md), and each has its plane.",
		"`sum by (kind) (...{severity=\"critical\"}) > 0`; warnings for hours", "kind", "plane", "severity")
	d.finding = d.is(gauge, "finding", "Always 1: one finding, gone when it is gone.", "route by `namespace` to the team that owns it", "namespace", "service_account", "kind", "plane", "severity")
	d.findingsCut = d.is(gauge, "findings_unlisted", "Findings without a series of their own, for the limit on them.", "`> 0`: raise the limit, or route by `lanyard_findings`")
	d.drift = d.is(gauge, "drift_start_timestamp_seconds", "Since when there has been a finding of this severity about the mapping on this plane. A new leader counts anew.",
		"no: `lanyard_finding` with a `for` does not begin anew with each leader", "namespace", "service_account", "plane", "severity")
	d.driftOldest = d.is(gauge, "drift_oldest_start_timestamp_seconds", "Since when the oldest finding of this severity on this plane has stood; 0 for none. A new leader counts anew.",
		"where the limit cuts", "plane", "severity")
	d.driftCut = d.is(gauge, "drift_unlisted", "Mappings and planes that differ without a series of their own, for the limit on them.", "no")
	d.onsets = d.is(counter, "drift_onsets_total", "How often a mapping that had no finding above `info` on this plane had one in the next round. What a new leader finds at once is not counted.",
		"`increase(...[1h])`, as a measure of how restless the fleet is", "plane")
	d.flaps = d.is(gauge, "flaps", "How often drift of the mapping on this plane began within the last hour; only where that is twice or more.",
		"`>= 3`: somebody changes it back, or it mends and breaks by itself", "namespace", "service_account", "plane")
	d.flapsCut = d.is(gauge, "flaps_unlisted", "Flapping mappings without a series of their own, for the limit on them.", "no")
	d.mappings = d.is(gauge, "mappings", "Mappings by the mechanism that is wanted (`unresolved`: `auto` without an answer) and class: `rest` (in sync), `drift`, `transition` (on the other mechanism), `held` (not as Git asks: may not or cannot be), `blind` (a fact is missing).",
		"`class=\"blind\"` for 30 min", "mechanism", "class")
	d.inSync = d.is(gauge, "mapping_in_sync", "1 if the mapping is as Git wants it, 0 if it differs or a fact is missing.", "`== 0` for longer than repair takes", "namespace", "service_account")
	d.mappingsCut = d.is(gauge, "mappings_unlisted", "Mappings without a series of their own, for the limit on them.", "no")
	d.unmanaged = d.is(gauge, "unmanaged_service_accounts", "ServiceAccounts that are wired to a role and that Git does not name. Never touched.", "no")
}

func (d *described) pods() {
	d.section = "Pods"
	d.uninjected = d.is(gauge, "pods_uninjected", "Pods of mappings that were given nothing that works, though what they should be given is wired. The finding `pods-uninjected` names them.", "`> 0` for 5 min")
	d.nodeRole = d.is(gauge, "pods_on_node_role", "Pods of mappings with a container that was given no credentials at all, wired or not: their SDKs find the node's role, or nothing.", "`> 0` for 15 min")
	d.exposed = d.is(gauge, "pods_exposed", "Pods that were given Pod Identity while there is no association: nobody answers them once what they hold has run out. A way back to IRSA and a rollback make them, for as long as it takes to restart them ([exposure](migration.md#exposure)).", "`> 0` for 15 min: page")
	d.troubled = d.is(gauge, "troubled_pods", "How many pods of a workload are in this trouble: `uninjected`, `node-role`, `exposed`, as above. A pod may be in two. Pods that no workload owns count as `owner_kind=\"Pod\"` without a name.",
		"by `namespace`, to the team that owns it", "namespace", "service_account", "owner_kind", "owner", "trouble")
	d.troubledCut = d.is(gauge, "troubled_pods_unlisted", "Workloads in such trouble without a series of their own, for the limit on them.", "no")
}

func (d *described) moved() {
	d.section = "What moves"
	d.verdicts = d.is(gauge, "workloads", "ServiceAccounts that Git names or that are wired, by whether EKS Pod Identity can serve them: `eligible`, `keep-irsa`, `blocked`, `unclear` ([reasons](reasons.md)).",
		"`verdict=\"unclear\"` for an hour", "verdict")
	d.reasons = d.is(gauge, "workload_reasons", "How many of them have that [reason](reasons.md).", "no", "reason")
	d.phases = d.is(gauge, "workload_phases", "Mappings by where they are on the way to the mechanism that Git wants. Those that have settled included; it changes with whole rounds only.",
		"`phase=\"rolled-back\"`: somebody must look", "phase")
	d.phase = d.is(gauge, "migration_phase", "Always 1: the mapping is on its way, and in this [phase](migration.md); gone when it has settled. The most urgent are kept where the limit cuts: `rolled-back`, `crossing`, `narrowing`, `soaking`, `widened`, `pending`.",
		"`phase=\"rolled-back\"`, and `crossing` for an hour, by `namespace`", "namespace", "service_account", "phase")
	d.phaseSince = d.is(gauge, "migration_phase_start_timestamp_seconds", "Since when the mapping has been in its phase. A new leader counts anew.",
		"no: the one above with a `for` does not begin anew with each leader", "namespace", "service_account")
	d.oldest = d.is(gauge, "migration_phase_oldest_start_timestamp_seconds", "Since when the mapping has been in this phase that is in it the longest; 0 for none. A new leader counts anew.",
		"`phase=\"crossing\"` older than an hour, where the limit cuts", "phase")
	d.movesCut = d.is(gauge, "migrations_unlisted", "Mappings on their way without series of their own, for the limit on them.", "no")
}

func (d *described) done() {
	d.section = "What is done"
	d.steps = d.is(counter, "steps_total", "Steps and what they came to: `done`, `unverified`, `skipped` (a guard did not hold), `failed`, `not-taken` (mode observe, or after a failure).",
		``+"`increase(...{result=~\"failed\\|unverified\"}[30m]) > 3`", "effect", "action", "result")
	d.planned = d.is(gauge, "steps_planned", "Steps that the last good round planned, taken or not: `widen`, `cross`, `narrow`.", "`> 0` for an hour in mode repair: it does not come to rest", "effect")
	d.motion = d.is(gauge, "subjects_in_motion", "ServiceAccounts that get rounds of their own before the next whole one, at most 20: what waits in line. lanyard has no work queue besides.", "no")
	d.holds = d.is(gauge, "holds", "What the last good round left undone. Reasons are those of [holds](holds.md).", "`reason=\"owner-must-act\"` for a day", "reason")
	d.conflict = d.is(gauge, "write_conflict", "Always 1: another writer takes back what lanyard writes, so it has stopped there.", "`== 1`: page; the hold names the opponent", "namespace", "service_account")
	d.conflicts = d.is(gauge, "write_conflicts", "ServiceAccounts with a write conflict.", "as above, where the limit cuts")
	d.conflictsCut = d.is(gauge, "write_conflicts_unlisted", "Write conflicts without a series of their own, for the limit on them.", "no")
	d.removalsLeft = d.is(gauge, "removals_left", "Removals that this hour's budget still allows.", "`== 0` for an hour: something is removed all the time")
	d.removalsLimit = d.is(gauge, "removals_limit", "Removals that the budget allows in an hour.", "no")
	d.identities = d.row(counter, "identity_probes_total", "[Identity probes](migration.md#identity-probe) by what they came to: `as-git`, `other-role`, `other-mechanism`, `no-identity`, `no-answer`, `refused`, `unguarded`.",
		"`increase(...{result=~\"other-role\\|other-mechanism\\|no-identity\"}[1h]) > 0`: a ticket; `/api/v1/status` names the ServiceAccount", "result")
	d.pullsShown = d.row(counter, "pull_requests_shown_total", "What the [reporter](pull-requests.md#the-daemon-as-the-reporter) showed on pull requests: a `comment` or `status` that was `created`, `edited`, `deleted` (a second one), stood there already (`same`), or `failed`.",
		"`increase(...{result=\"failed\"}[30m]) > 0` for 30 min: reviewers see an old report, or none", "what", "result")
	d.events = d.row(counter, "events_total", "Kubernetes Events: `sent`, `failed`.", "no", "result")
}

func (d *described) quotas() {
	d.section = "Quotas"
	d.quotaUsed = d.is(gauge, "quota_used", "How much of an AWS quota is used: `associations` of the cluster; `oidc-providers` of the account (with its SAML providers, unless the list was read); `trust-policy-characters` of the largest trust policy among the roles that lanyard looks at in the account.",
		"over nine tenths of the limit", "account", "quota")
	d.quotaLimit = d.is(gauge, "quota_limit", "The quota. That of trust policies is the account's own, and absent where it could not be read; the others are AWS's defaults (5000 associations, which cannot be raised, and 100 OIDC providers, which can).", "no", "account", "quota")
	d.quotasCut = d.is(gauge, "quotas_unlisted", "Accounts beyond the first 50, without series of their own.", "no")
	d.trustSize = d.is(gauge, "mapping_trust_policy_characters", "Characters of the trust policy of the mapping's role, outside white space. Only the 20 mappings that are nearest to their account's limit.", "no: on `lanyard_quota_used`", "namespace", "service_account")
}

func (d *described) costs() {
	d.section = "What it costs"
	d.calls = d.row(counter, "aws_calls_total", "AWS API calls by service (`iam`, `eks`, `sts`, `cloudtrail`, `eks-auth`), operation and error code; `ok` for none. Each attempt counts, the SDK's own retries too. At most 512 series; further codes and operations count as `other`.",
		"`code=~\"AccessDenied.*\"`, as a rate", "service", "operation", "code")
	d.throttles = d.row(counter, "aws_throttles_total", "AWS API calls that AWS refused because of their rate.", "`rate(...[15m])` over a twentieth of all calls", "service")
	d.took = d.row(histogram, "aws_call_duration_seconds", "How long AWS API calls took.", "no", "service")
	d.waited = d.row(counter, "aws_wait_seconds_total", "Time that calls to `iam`, `eks` and `sts` waited for lanyard's own rate limit.", "rate near 1: the limit is the bottleneck", "service")
	d.budgetLeft = d.is(gauge, "aws_budget_left", "Calls that lanyard's own rate limit still allowed at once, at the lowest moment since the round before; the lowest of all accounts.", "no: 0 only means that calls wait a little", "service")
	d.budgetLimit = d.is(gauge, "aws_budget_limit", "Calls that lanyard's own rate limit allows at once.", "no", "service")
	d.requests = d.row(counter, "kube_requests_total", "Requests to the Kubernetes API server by method and status code; `error` for no answer.", "`code=~\"403\\|429\\|5..\"`, as a rate", "method", "code")
	d.requestTook = d.row(histogram, "kube_request_duration_seconds", "How long requests to the Kubernetes API server took; of a watch, until it stood.", "no", "method")
	d.requestWaited = d.row(counter, "kube_wait_seconds_total", "Time that requests waited for lanyard's own rate limit.", "rate near 1: the limit is the bottleneck")
	d.requestRetries = d.row(counter, "kube_retries_total", "Requests that client-go made again by itself, by the code that made it.", "no", "code")
	d.pullsCalls = d.row(counter, "pull_requests_calls_total", "Requests to the host of pull requests by answer: `ok`, `unchanged` (304, free of the rate limit), `redirected`, `unauthorized`, `forbidden` (a right is missing, or a rate limit met), `not-found`, `invalid`, `too-many`, `error` (5xx), `none` (no answer), `other`.",
		"`increase(...{code=\"unauthorized\"}[15m]) > 0`: the token is no longer valid", "code")
	d.pullsLeft = d.row(gauge, "pull_requests_rate_limit_left", "What the host of pull requests last said is left of the hourly rate limit; -1 where it was not asked.", "no: the reporter waits by itself")
	d.hooks = d.row(counter, "hooks_total", "Deliveries to the hook listener: `accepted`, `ping`, `replayed`, `unsigned`, `refused` (wrong signature), `stale`, `oversized`, `malformed`, `busy`, `unconfigured`, `method`.",
		"`increase(...{result=\"refused\"}[1h]) > 0`: a secret was rotated on one side only", "provider", "result")
}

// Describe sends every metric that is made from the state.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range m.is.all {
		ch <- d
	}
}
