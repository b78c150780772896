package outline_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/identity"
	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/migrate/outline"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/report"
)

var update = flag.Bool("update", false, "rewrite golden files")

// example is the fleet and its live world, changed.
func example(t testing.TB, change func(f *live.Facts, s *desired.State)) outline.Outline {
	t.Helper()
	f, err := live.DecodeFacts(examples.Live)
	if err != nil {
		t.Fatal(err)
	}
	repo, err := desired.Parse(examples.Fleet(), []string{"."}, desired.Revision{})
	if err != nil {
		t.Fatal(err)
	}
	snap, err := live.New(f)
	if err != nil {
		t.Fatal(err)
	}
	state, err := repo.For(snap.Cluster())
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&f, &state)
		if snap, err = live.New(f); err != nil {
			t.Fatal(err)
		}
	}
	return outline.New(state, snap, outline.Options{})
}

func write(t *testing.T, form string, o outline.Outline, v outline.View) string {
	t.Helper()
	var b bytes.Buffer
	var err error
	switch form {
	case "json":
		var data []byte
		data, err = o.JSON()
		b.Write(data)
	case "yaml":
		var data []byte
		data, err = o.YAML()
		b.Write(data)
	case "table":
		err = o.Table(&b, v)
	case "text":
		err = o.Text(&b, v)
	case "md":
		err = o.Markdown(&b, v)
	case "csv":
		err = o.CSV(&b, v)
	case "html":
		err = o.HTML(&b, v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestForms: the fleet in every form.
func TestForms(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"json", "yaml", "table", "text", "md", "csv", "html", "wide.table", "wave.table", "painted.table"} {
		name, kind, is := strings.Cut(form, ".")
		v := outline.View{}
		if is {
			v.Wide, v.Waves = name == "wide", name == "wave"
			if name == "painted" {
				v.Paint = func(s report.Style, text string) string {
					return fmt.Sprintf("<%s>%s</>", [...]string{"critical", "warning", "info", "good", "strong", "faint"}[s], text)
				}
			}
		} else {
			kind = name
		}
		golden(t, "fleet."+form, write(t, kind, example(t, nil), v))
	}
	golden(t, "reasons.wide.table", write(t, "table", reasonsOf(t, "live.yaml", outline.Options{}), outline.View{Wide: true}))
	golden(t, "reasons.wave.table", write(t, "table", reasonsOf(t, "live.yaml", outline.Options{}), outline.View{Waves: true}))
}

// golden holds a report to a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); rewrite with -update\n%s", file, diff[:min(len(diff), 4000)])
	}
}

// TestFleet: the verdicts on the example fleet, each for the reason that it was made for.
func TestFleet(t *testing.T) {
	t.Parallel()
	got := map[string]outline.Workload{}
	for _, w := range example(t, nil).Workloads {
		got[w.Name()] = w
	}
	has := func(list []migrate.Reason, code migrate.Code, in string) bool {
		for _, r := range list {
			if r.Code == code && strings.Contains(fmt.Sprint(r.Facts, r.Fix), in) {
				return true
			}
		}
		return false
	}
	for _, test := range []struct {
		name    string
		verdict migrate.Verdict
		code    migrate.Code
		in      string
	}{
		{"demo/s3-reader", migrate.Eligible, "", ""},
		{"karpenter/karpenter", migrate.KeepIRSA, migrate.Fargate, "fargate-profile karpenter"},
		{"cross/accountb-direct", migrate.KeepIRSA, migrate.CrossAccountRole, "210987654321"},
		{"cross/chained-reader", migrate.KeepIRSA, migrate.ChainedRole, "irsa-lab-accountb-reader"},
		{"win-demo/iis-logs", migrate.KeepIRSA, migrate.Windows, "Deployment win-demo/iis-logs"},
		{"kube-system/aws-node", migrate.Blocked, migrate.AddonOwned, "aws eks update-addon"},
		{"external-secrets/external-secrets", migrate.Blocked, migrate.AnnotationReader, "ClusterSecretStore aws-secrets"},
		{"tf-demo/tf-s3-reader", migrate.Blocked, migrate.TrustNotAdopted, `"Sid":"Lanyardc12b0b1d8f6792e9"`},
	} {
		w := got[test.name]
		if w.Verdict != test.verdict || test.code != "" && !has(w.Reasons, test.code, test.in) {
			t.Errorf("%s is %s for %+v; want %s for %s with %q", test.name, w.Verdict, w.Reasons, test.verdict, test.code, test.in)
		}
	}
	for _, name := range []string{"batch/exporter", "batch/reporter"} {
		if !has(got[name].Warnings, migrate.SharedRole, "batch/") {
			t.Errorf("%s has no warning of its shared role: %+v", name, got[name].Warnings)
		}
	}
	if w := got["monitoring/prometheus"]; w.Declared != "" || w.Phase != "" || w.Wanted != identity.None || len(w.Would) == 0 {
		t.Errorf("what Git does not name: %+v", w)
	}
}

// reasonsOf reports on one of the worlds of examples/reasons.
func reasonsOf(t *testing.T, world string, o outline.Options) outline.Outline {
	t.Helper()
	text, err := os.ReadFile("../../examples/reasons/" + world)
	if strings.HasSuffix(world, ".sh") {
		text, err = exec.Command("sh", "../../examples/reasons/"+world).Output()
	}
	if err != nil {
		t.Fatal(err)
	}
	snap, err := live.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	repo, err := desired.Parse(os.DirFS("../../examples/reasons/fleet"), []string{"."}, desired.Revision{})
	if err != nil {
		t.Fatal(err)
	}
	state, err := repo.For(snap.Cluster())
	if err != nil {
		t.Fatal(err)
	}
	return outline.New(state, snap, o)
}

// TestEveryCodeHasAnExample: each reason, warning and hold has a place in
// examples/reasons, which is named after it and shows it, and no other reason beside.
func TestEveryCodeHasAnExample(t *testing.T) {
	t.Parallel()
	got := map[string]outline.Workload{}
	for _, world := range []string{"live.yaml", "outpost.yaml"} {
		for _, w := range reasonsOf(t, world, outline.Options{}).Workloads {
			got[w.ServiceAccount] = w
		}
	}
	// In a full cluster everybody else without an association has that reason too.
	for _, w := range reasonsOf(t, "full.sh", outline.Options{}).Workloads {
		if w.ServiceAccount == string(migrate.AssociationsFull) {
			got[w.ServiceAccount] = w
		}
	}
	none := map[migrate.Code]string{
		migrate.ProbeRefused:   "needs a dry run",
		migrate.ProbeUnguarded: "needs a dry run",
		migrate.RemovalBudget:  "needs the last hour's removals",
	}
	elsewhere := map[migrate.Code]string{migrate.Self: "eks-pod-identity-agent", migrate.AgentAbsent: "outside-eks", migrate.WebhookAbsent: "outside-eks"}
	beside := map[migrate.Code][]migrate.Code{
		migrate.MixedCompute: {migrate.Fargate},
		migrate.OutsideEKS:   {migrate.AgentAbsent, migrate.WebhookAbsent},
	}
	for _, list := range []struct {
		codes []migrate.Code
		of    func(outline.Workload) []migrate.Reason
	}{
		{append(migrate.Keeps(), migrate.Blocks()...), func(w outline.Workload) []migrate.Reason { return w.Reasons }},
		{migrate.Warnings(), func(w outline.Workload) []migrate.Reason { return w.Warnings }},
		{migrate.Holds(), func(w outline.Workload) []migrate.Reason { return w.Holds }},
	} {
		for _, code := range list.codes {
			name, of := elsewhere[code]
			if !of {
				name = string(code)
			}
			w, found := got[name]
			shows := slices.ContainsFunc(list.of(w), func(r migrate.Reason) bool { return r.Code == code })
			if why := none[code]; shows == (why != "") || found != shows {
				t.Errorf("%s: an example %t, which shows it %t: %+v; none is expected: %q", code, found, shows, list.of(w), why)
			}
			for _, r := range w.Reasons {
				if !of && r.Code != code && !slices.Contains(beside[code], r.Code) {
					t.Errorf("%s: its example is %s too: %v", code, r.Code, r.Facts)
				}
			}
		}
	}
}

// TestSchema: the report is what docs/schemas/plan.json says, which lets nothing else in.
func TestSchema(t *testing.T) {
	t.Parallel()
	schema, err := jsonschema.NewCompiler().Compile("../../docs/schemas/plan.json")
	if err != nil {
		t.Fatal(err)
	}
	worlds := map[string]func(f *live.Facts, s *desired.State){
		"the fleet": nil,
		"nothing":   func(f *live.Facts, s *desired.State) { f.ServiceAccounts, f.Associations, s.Mappings = nil, nil, nil },
		"gaps": func(f *live.Facts, _ *desired.State) {
			f.Gaps = append(f.Gaps, live.Gap{Source: live.SourcePods, Reason: live.GapRefused, Message: "forbidden"})
		},
		"a role that is none": func(f *live.Facts, _ *desired.State) {
			f.ServiceAccounts = append(f.ServiceAccounts, live.ServiceAccount{Namespace: "x", Name: "y", Annotations: map[string]string{"eks.amazonaws.com/role-arn": "${ROLE}"}})
		},
		"all moves": func(_ *live.Facts, s *desired.State) {
			for i := range s.Mappings {
				s.Mappings[i].Mechanism = identity.PodIdentity
			}
		},
		"all moves back": func(_ *live.Facts, s *desired.State) {
			for i := range s.Mappings {
				s.Mappings[i].Mechanism = identity.IRSA
			}
		},
	}
	for name, change := range worlds {
		text, err := example(t, change).JSON()
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if bytes.Contains(text, []byte(": null")) {
			t.Errorf("%s: a list is null", name)
		}
	}
	var object map[string]any
	data, err := os.ReadFile("../../docs/schemas/plan.json")
	if err != nil || json.Unmarshal(data, &object) != nil {
		t.Fatal(err)
	}
	if open := strings.Count(string(data), `"type": "object"`) - strings.Count(string(data), `"additionalProperties"`); open != 0 {
		t.Errorf("%d objects of the schema let in what it does not name", open)
	}
}

// TestWaves: nobody moves beside more than the operator lets, nor beside one of its own
// namespace, and the riskiest go last.
func TestWaves(t *testing.T) {
	t.Parallel()
	o := example(t, func(_ *live.Facts, s *desired.State) {
		for i := range s.Mappings {
			s.Mappings[i].Mechanism = identity.PodIdentity
		}
	})
	seen := map[int]int{}
	for _, w := range o.Workloads {
		waits := slices.ContainsFunc(w.Holds, func(r migrate.Reason) bool { return r.Code == migrate.OwnerMustAct })
		if (w.Wave > 0) != (len(w.Steps) > 0 && !waits) {
			t.Errorf("%s has wave %d and %d steps, and waits for an owner: %t", w.Name(), w.Wave, len(w.Steps), waits)
		}
		seen[w.Wave]++
	}
	for wave := 1; wave < len(seen); wave++ {
		if seen[wave] != 1 {
			t.Errorf("wave %d has %d workloads, want one", wave, seen[wave])
		}
	}
	if len(seen) < 3 {
		t.Errorf("%d waves: too few to show anything", len(seen))
	}
}

// TestUnderWayComesFirst: a workload that moves already keeps its place, however risky it
// is; one that waits for a person or whose window is shut does not keep others waiting;
// and who comes later is told so, unless under way.
func TestUnderWayComesFirst(t *testing.T) {
	t.Parallel()
	waves, holds := map[string]int{}, map[string]string{}
	for _, w := range reasonsOf(t, "live.yaml", outline.Options{}).Workloads {
		waves[w.ServiceAccount] = w.Wave
		for _, h := range w.Holds {
			holds[w.ServiceAccount] += string(h.Code) + " "
		}
	}
	for name, want := range map[string]struct {
		wave  int
		holds string
	}{
		"before": {2, "concurrency "}, "concurrency": {3, "concurrency "}, "sdk-unknown": {5, "concurrency "}, "outside-window": {6, "outside-window concurrency "}, "no-proof": {0, "no-proof "},
		"held": {0, "held "}, "paused": {0, "paused "}, "no-run-yet": {0, "no-run-yet "}, "owner-must-act": {0, "owner-must-act "}, "not-hitless": {0, "not-hitless "},
	} {
		if waves[name] != want.wave || holds[name] != want.holds {
			t.Errorf("%s: wave %d, holds %q; want %d, %q", name, waves[name], holds[name], want.wave, want.holds)
		}
	}
}

// TestPausedByTheOperator: the configuration holds every eligible workload that has steps
// to take, and none of them has a turn.
func TestPausedByTheOperator(t *testing.T) {
	t.Parallel()
	paused := 0
	for _, w := range reasonsOf(t, "live.yaml", outline.Options{Pace: desired.Pace{Pause: true}}).Workloads {
		held := slices.ContainsFunc(w.Holds, func(r migrate.Reason) bool {
			return r.Code == migrate.Paused && strings.Contains(r.Fix, "migration.pause")
		})
		if want := w.Verdict == migrate.Eligible && len(w.Steps) > 0; held != want || held && w.Wave > 0 {
			t.Errorf("%s: paused %t, want %t; wave %d", w.Name(), held, want, w.Wave)
		} else if held {
			paused++
		}
	}
	if paused < 5 {
		t.Errorf("%d are paused: too few to show anything", paused)
	}
}

// TestHostile: what others write into names and policies does no harm in any form.
func TestHostile(t *testing.T) {
	t.Parallel()
	const evil = "=cmd|' /C calc'!A0<script>alert(1)</script>\x1b[31m|`**` @org/team ~~x~~ $x$ https://evil.example/ gh-1 \u202e"
	o := example(t, func(f *live.Facts, _ *desired.State) {
		for i, begins := range []string{"", "\t", " ", "\u00a0", "＝", "long " + strings.Repeat("x", 1<<18)} {
			f.ServiceAccounts = append(f.ServiceAccounts, live.ServiceAccount{Namespace: evil, Name: fmt.Sprint(evil, i), Annotations: map[string]string{"eks.amazonaws.com/role-arn": begins + evil}})
		}
	})
	for _, form := range []string{"table", "text", "md", "csv", "html"} {
		got := write(t, form, o, outline.View{Wide: true})
		if strings.ContainsAny(got, "\x1b\u202e") {
			t.Errorf("%s has an escape character", form)
		}
		if widest := strings.Repeat("x", 2000); strings.Contains(got, widest) && form != "html" {
			t.Errorf("%s has a cell of more than 2000 characters", form)
		}
		for _, markup := range []string{"@org", "~~x", "$x$", "://evil", "gh-1 "} {
			if form == "md" && strings.Contains(strings.ReplaceAll(got, `\`+markup, ""), markup) {
				t.Errorf("%s has %q as it is", form, markup)
			}
		}
		if strings.Contains(got, "<script>") && (form == "html" || form == "md") {
			t.Errorf("%s has the element", form)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(write(t, "csv", o, outline.View{}))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		for _, cell := range r {
			if strings.IndexAny(strings.TrimSpace(cell), "=+-@＝") == 0 {
				t.Errorf("a spreadsheet would run %q", cell)
			}
		}
	}
}

// TestOnly: one workload, or an error that says where to look.
func TestOnly(t *testing.T) {
	t.Parallel()
	o := example(t, nil)
	if one, err := o.Only("demo", "s3-reader"); err != nil || len(one.Workloads) != 1 || one.Summary.Workloads != o.Summary.Workloads {
		t.Errorf("%d workloads, %v", len(one.Workloads), err)
	}
	if _, err := o.Only("demo", "nobody"); err == nil || !strings.Contains(err.Error(), "lanyard plan") {
		t.Errorf("an unknown name: %v", err)
	}
}

// TestBrief: those who count only count the same.
func TestBrief(t *testing.T) {
	t.Parallel()
	f, err := live.DecodeFacts(examples.Live)
	if err != nil {
		t.Fatal(err)
	}
	snap, err := live.New(f)
	if err != nil {
		t.Fatal(err)
	}
	repo, err := desired.Parse(examples.Fleet(), []string{"."}, desired.Revision{})
	if err != nil {
		t.Fatal(err)
	}
	state, err := repo.For(snap.Cluster())
	if err != nil {
		t.Fatal(err)
	}
	whole, brief := outline.New(state, snap, outline.Options{}), outline.New(state, snap, outline.Options{Brief: true})
	if diff := cmp.Diff(whole.Summary, brief.Summary); diff != "" || whole.Summary.Declared == 0 {
		t.Errorf("-whole +brief\n%s", diff)
	}
	for i := range whole.Workloads {
		w, b := whole.Workloads[i], brief.Workloads[i]
		if w.Name() != b.Name() || w.Mechanism != b.Mechanism || len(b.Steps)+len(b.Would)+len(b.Trust) > 0 {
			t.Errorf("%s on %s; %s on %s with %d steps", w.Name(), w.Mechanism, b.Name(), b.Mechanism, len(b.Steps))
		}
	}
}

// TestIdentityProbes: what is known of a mapping's identity probe is in the report, by the
// schema; of all others, and without a daemon, nothing is. Each result is one of the schema's.
func TestIdentityProbes(t *testing.T) {
	t.Parallel()
	schema, err := jsonschema.NewCompiler().Compile("../../docs/schemas/plan.json")
	if err != nil {
		t.Fatal(err)
	}
	f, err := live.DecodeFacts(examples.Live)
	if err != nil {
		t.Fatal(err)
	}
	snap, err := live.New(f)
	if err != nil {
		t.Fatal(err)
	}
	repo, err := desired.Parse(examples.Fleet(), []string{"."}, desired.Revision{})
	if err != nil {
		t.Fatal(err)
	}
	state, err := repo.For(snap.Cluster())
	if err != nil {
		t.Fatal(err)
	}
	mapping := state.Mappings[0]
	results := []string{"pending"}
	for _, r := range migrate.IdentityResults() {
		results = append(results, string(r))
	}
	for _, result := range results {
		known := outline.IdentityProbe{Wanted: identity.IRSA, Role: mapping.Role.String(), Result: result, Message: "x"}
		if result == "as-git" {
			known.Session, known.At = "arn:aws:sts::123456789012:assumed-role/x/y", f.TakenAt
		}
		o := outline.New(state, snap, outline.Options{IdentityProbe: func(s identity.Subject) (outline.IdentityProbe, bool) {
			return known, s == mapping.Subject
		}})
		for _, w := range o.Workloads {
			is := w.Name() == mapping.Subject.String()
			if got := w.IdentityProbe; is != (got != nil) || is && *got != known {
				t.Errorf("%s: %s shows %+v", result, w.Name(), got)
			}
		}
		text, err := o.JSON()
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s: %v", result, err)
		}
	}
}

// TestComment: of thousands of workloads the Markdown is no longer than a comment may be,
// has what waits, and says how much is left out and where it is.
func TestComment(t *testing.T) {
	t.Parallel()
	o := example(t, nil)
	if got := write(t, "md", o, outline.View{}); strings.Contains(got, "Left out") {
		t.Error("what has room is left out")
	}
	with, quiet := 0, slices.DeleteFunc(slices.Clone(o.Workloads), outline.Workload.Waits)
	waiting := slices.DeleteFunc(slices.Clone(o.Workloads), func(w outline.Workload) bool { return !w.Waits() || len(w.Reasons) == 0 })[0]
	o.Workloads = nil
	for n := range 5000 {
		w := quiet[n%len(quiet)]
		if w.ServiceAccount = fmt.Sprintf("quiet-%04d", n); n >= 4990 {
			w = waiting
			w.ServiceAccount = fmt.Sprintf("waiting-%04d", n)
		}
		if len(w.Reasons) > 0 {
			with++
		}
		o.Workloads = append(o.Workloads, w)
	}
	for _, v := range []outline.View{{}, {Wide: true}} {
		got := write(t, "md", o, v)
		if len(got) > report.CommentLimit || len(got) < report.CommentLimit-2000 {
			t.Errorf("%d bytes, the limit is %d", len(got), report.CommentLimit)
		}
		rows, folds := strings.Count(got, "\n| ")-1, strings.Count(got, "<details>")
		want := fmt.Sprintf("\n**Left out here**, because a comment has room for no more: %d table rows, %d folded workloads. `lanyard plan` with `-o table`, `text` or `html` prints all of it", 5000-rows, with-folds)
		if !strings.Contains(got, want) {
			t.Errorf("it ends with %q, want %q", got[len(got)-300:], want)
		}
		if rows, folds := strings.Count(got, "/waiting-")-strings.Count(got, "<summary>"+report.Prose(waiting.Namespace)+"/waiting-"), strings.Count(got, "<summary>"+report.Prose(waiting.Namespace)+"/waiting-"); rows != 10 || folds != 10 {
			t.Errorf("%d rows and %d folds of the 10 workloads that wait", rows, folds)
		}
		if folds != strings.Count(got, "</details>") {
			t.Error("a fold does not end")
		}
	}
}
