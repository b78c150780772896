package report

import (
	"encoding/json"
	"time"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/sync/diff"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/plan"
)

// Diff is the answer of `lanyard diff`: what differs, what a round would do about
// it, and what it would leave to whom. Its JSON form is described by the schema
// docs/schemas/diff.json and only ever grows.
type Diff struct {
	Revision  string             `json:"revision"`
	Cluster   string             `json:"cluster"`
	Mode      desired.Mode       `json:"mode"` // empty without a configuration: then nothing is written
	Summary   Summary            `json:"summary"`
	Findings  []Finding          `json:"findings"`
	Mappings  []Mapping          `json:"mappings"`
	Steps     []plan.Step        `json:"steps"`
	Left      []plan.Hold        `json:"left"`
	Gaps      []live.Gap         `json:"gaps"`
	Unmanaged []identity.Subject `json:"unmanaged"`
}

// Summary counts.
type Summary struct {
	Mappings  int            `json:"mappings"`
	InSync    int            `json:"inSync"`
	Findings  int            `json:"findings"`
	Critical  int            `json:"critical"`
	Warning   int            `json:"warning"`
	Info      int            `json:"info"`
	ByPlane   map[string]int `json:"byPlane"`
	Steps     int            `json:"steps"`
	Left      int            `json:"left"`
	Gaps      int            `json:"gaps"`
	Unmanaged int            `json:"unmanaged"`
}

// Finding is a finding in its public form.
type Finding struct {
	Namespace      string        `json:"namespace"`
	ServiceAccount string        `json:"serviceAccount"`
	Plane          diff.Plane    `json:"plane"`
	Kind           diff.Kind     `json:"kind"`
	Severity       diff.Severity `json:"severity"`
	Message        string        `json:"message"`
	Expected       string        `json:"expected"`
	Actual         string        `json:"actual"`
	Position       string        `json:"position"`
	Owner          string        `json:"owner"`
	FirstSeen      time.Time     `json:"firstSeen,omitzero"` // by the daemon
}

// Mapping is where one mapping stands.
type Mapping struct {
	Namespace      string             `json:"namespace"`
	ServiceAccount string             `json:"serviceAccount"`
	Role           string             `json:"role"`
	Declared       identity.Mechanism `json:"declared"` // as written in Git
	Wanted         identity.Mechanism `json:"wanted"`   // resolved; empty where it cannot be
	On             identity.Mechanism `json:"on"`       // what a pod admitted now would get; empty for nothing
	Class          diff.Class         `json:"class"`
	Pods           int                `json:"pods"`
	Unknown        []string           `json:"unknown"` // the facts that are missing
	Position       string             `json:"position"`
}

// NewDiff makes the report of a comparison and its plan. The mode is the
// configuration's; empty without one.
func NewDiff(mode desired.Mode, revision desired.Revision, r diff.Result, p plan.Plan, gaps []live.Gap) Diff {
	d := Diff{
		Revision:  revision.String(),
		Cluster:   r.Cluster.Name,
		Mode:      mode,
		Findings:  make([]Finding, 0, len(r.Findings)),
		Mappings:  make([]Mapping, 0, len(r.Judged)),
		Steps:     list(p.Steps),
		Left:      list(p.Holds),
		Gaps:      list(gaps),
		Unmanaged: list(r.Unmanaged),
	}
	d.Summary = Summary{Mappings: len(r.Judged), Findings: len(r.Findings), ByPlane: map[string]int{},
		Steps: len(p.Steps), Left: len(p.Holds), Gaps: len(gaps), Unmanaged: len(r.Unmanaged)}
	for _, f := range r.Findings {
		d.Findings = append(d.Findings, NewFinding(f))
		d.Summary.ByPlane[string(f.Plane)]++
		switch f.Severity {
		case diff.Critical:
			d.Summary.Critical++
		case diff.Warning:
			d.Summary.Warning++
		case diff.Info:
			d.Summary.Info++
		}
	}
	for _, j := range r.Judged {
		if j.Class == diff.Rest {
			d.Summary.InSync++
		}
		d.Mappings = append(d.Mappings, Mapping{
			Namespace: j.Mapping.Subject.Namespace, ServiceAccount: j.Mapping.Subject.ServiceAccount,
			Role: j.Mapping.Role.String(), Declared: j.Mapping.Mechanism, Wanted: j.Wanted, On: j.On,
			Class: j.Class, Pods: len(j.Pods), Unknown: list(j.Unknown), Position: j.Mapping.At.String(),
		})
	}
	return d
}

// list copies a slice into one that JSON writes as a list, never as null.
func list[T any](s []T) []T { return append([]T{}, s...) }

// NewFinding returns the public form of a finding.
func NewFinding(f diff.Finding) Finding {
	return Finding{Namespace: f.Subject.Namespace, ServiceAccount: f.Subject.ServiceAccount, Plane: f.Plane, Kind: f.Kind,
		Severity: f.Severity, Message: f.Message, Expected: f.Expected, Actual: f.Actual, Position: f.Position.String(), Owner: f.Owner, FirstSeen: f.FirstSeen}
}

// Differs reports whether there is anything to tell: a finding, or something unread.
func (d Diff) Differs() bool { return len(d.Findings) > 0 || len(d.Gaps) > 0 }

// JSON returns the report as indented JSON.
func (d Diff) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(d, "", "  ")
	return append(b, '\n'), err
}
