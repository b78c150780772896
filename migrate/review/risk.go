package review

import (
	"fmt"
	"slices"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/diff"
)

// Risk is how much harm a change may do.
type Risk string

// The risks.
const (
	None   Risk = "none"
	Low    Risk = "low"
	Medium Risk = "medium"
	High   Risk = "high"
)

// risks are all of them, in order.
var risks = []Risk{None, Low, Medium, High}

func (r Risk) rank() int { return max(slices.Index(risks, r), 0) }

// AtLeast reports whether a risk is as high as another.
func (r Risk) AtLeast(other Risk) bool { return r.rank() >= other.rank() }

// Danger is one reason for a risk.
type Danger struct {
	Code    Code   `json:"code"`
	Risk    Risk   `json:"risk"`
	Message string `json:"message"`

	at desired.Position // of one of the whole
}

// Code names a reason for a risk. The list is closed; each has a paragraph in
// docs/risks.md.
type Code string

// The reasons, by the risk that each makes.
const (
	Refused        Code = "refused"                   // the head has document errors and is not followed
	Forbidden      Code = "forbidden"                 // an allow rule or lanyard's own list forbids the mapping
	Protected      Code = "protected"                 // the operator protects its namespace
	CannotBe       Code = "cannot-be"                 // Git asks for what this cluster cannot have
	RoleMissing    Code = "role-missing"              // a role that it needs does not exist
	AddsCritical   Code = "adds-critical"             // a critical finding that no step of lanyard's mends
	ExposesPods    Code = "exposes-pods"              // an association is deleted while pods are on Pod Identity
	RemovesWiring  Code = "removes-wiring"            // what gives new pods a role is taken away
	MassRemoval    Code = "mass-removal"              // more than a tenth of what is lanyard's leaves Git at once
	RestartsHard   Code = "restarts-hard"             // pods restart with none left to serve meanwhile
	ChangesRole    Code = "changes-role"              // pods get other permissions
	CrossesAccount Code = "crosses-account"           // a role in another account
	WidensTrust    Code = "widens-trust"              // a role lets in more than this ServiceAccount
	OtherClusters  Code = "shared-with-other-cluster" // another cluster's pods are let in by the role
	NotServed      Code = "not-served"                // Git asks for Pod Identity, which cannot serve it
	Blocked        Code = "blocked"                   // Git asks for Pod Identity, and something stands in the way
	Unread         Code = "unread"                    // a fact is missing, so nothing is done
	SystemPods     Code = "system-namespace"          // in a namespace of the cluster's own
	TakesOver      Code = "takes-over"                // what others made may be overwritten
	DropsTags      Code = "drops-session-tags"        // policies that ask for them allow nothing any more
	ManyMappings   Code = "many-mappings"             // one line changes many mappings
	NearQuota      Code = "near-quota"                // a quota of AWS is nearly used up
	Crosses        Code = "crosses"                   // new pods get credentials by the other mechanism
	Restarts       Code = "restarts"                  // lanyard restarts pods
	NeedsRestart   Code = "needs-restart"             // somebody must restart pods, or they keep what they have
	AddsTrust      Code = "adds-trust"                // a role lets this ServiceAccount in by a statement more
	NarrowsTrust   Code = "narrows-trust"             // a role lets this ServiceAccount in by a statement less
	Writes         Code = "writes"                    // lanyard writes what it would not write otherwise
	SharedRole     Code = "shared-role"               // other mappings have its role
	WaitsForOwner  Code = "waits-for-owner"           // somebody else must write first
	LeavesBehind   Code = "leaves-behind"             // what leaves Git stays live, and nobody looks after it
)

// dangers is the closed list, the worst first.
var dangers = []struct {
	code Code
	risk Risk
}{
	{Refused, High}, {Forbidden, High}, {Protected, High}, {CannotBe, High}, {RoleMissing, High}, {AddsCritical, High}, {ExposesPods, High},
	{RemovesWiring, High}, {MassRemoval, High}, {RestartsHard, High},
	{ChangesRole, Medium}, {CrossesAccount, Medium}, {WidensTrust, Medium}, {OtherClusters, Medium}, {NotServed, Medium}, {Blocked, Medium}, {Unread, Medium},
	{SystemPods, Medium}, {TakesOver, Medium}, {DropsTags, Medium}, {ManyMappings, Medium}, {NearQuota, Medium},
	{Crosses, Low}, {Restarts, Low}, {NeedsRestart, Low}, {AddsTrust, Low}, {NarrowsTrust, Low}, {Writes, Low}, {SharedRole, Low}, {WaitsForOwner, Low}, {LeavesBehind, Low},
}

// Codes returns the closed list, the worst first.
func Codes() []Code {
	all := make([]Code, len(dangers))
	for i, d := range dangers {
		all[i] = d.code
	}
	return all
}

// rank is the place in the list.
func (c Code) rank() int {
	return slices.IndexFunc(dangers, func(d struct {
		code Code
		risk Risk
	}) bool {
		return d.code == c
	})
}

// Risk is the risk that the reason makes.
func (c Code) Risk() Risk {
	if i := c.rank(); i >= 0 {
		return dangers[i].risk
	}
	return None
}

func danger(c Code, format string, args ...any) Danger {
	return Danger{Code: c, Risk: c.Risk(), Message: fmt.Sprintf(format, args...)}
}

// FailOn is what a review fails on: "drift" (any finding or gap, those that were there
// before too), a risk (that or a higher one), the code of a danger, the kind of a finding
// that the pull request causes, or a reason of a verdict of its workloads.
type FailOn string

// Drift fails on findings that were there before.
const Drift FailOn = "drift"

// ParseFailOn reads one word of --fail-on.
func ParseFailOn(s string) (FailOn, error) {
	if !slices.Contains(FailOns(), FailOn(s)) {
		return "", fmt.Errorf("%q is none of low, medium, high and drift, no reason of docs/risks.md or docs/reasons.md and no finding of docs/findings.md", s)
	}
	return FailOn(s), nil
}

// FailOns returns the words that [ParseFailOn] takes.
func FailOns() []FailOn {
	all := []FailOn{Drift}
	for _, r := range risks[1:] {
		all = append(all, FailOn(r))
	}
	for _, c := range Codes() {
		all = append(all, FailOn(c))
	}
	for _, k := range diff.Kinds() {
		all = append(all, FailOn(k))
	}
	for _, c := range slices.Concat(migrate.Keeps(), migrate.Blocks()) {
		all = append(all, FailOn(c))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Fails reports whether the review has what one of the words names.
func (r Review) Fails(on ...FailOn) bool {
	return slices.ContainsFunc(on, func(f FailOn) bool {
		switch {
		case f == Drift:
			return len(r.Caused)+len(r.Before)+len(r.Gaps)+len(r.NewGaps) > 0
		case slices.Contains(risks[1:], Risk(f)):
			return r.Summary.Risk.AtLeast(Risk(f))
		}
		named := func(d Danger) bool { return d.Code == Code(f) }
		return slices.ContainsFunc(r.Risks, named) ||
			slices.ContainsFunc(r.Caused, func(c Finding) bool { return c.Kind == diff.Kind(f) }) ||
			slices.ContainsFunc(r.Workloads, func(w Workload) bool {
				return slices.ContainsFunc(w.Risks, named) || slices.ContainsFunc(w.Reasons, func(reason migrate.Reason) bool { return reason.Code == migrate.Code(f) })
			})
	})
}
