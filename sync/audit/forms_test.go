package audit_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/examples"
	"github.com/lanyard-io/lanyard/internal/testkit"
	"github.com/lanyard-io/lanyard/sync/audit"
	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/report"
	"github.com/lanyard-io/lanyard/sync/trust"
)

// example is the live world of the example fleet, with the fleet itself for its waivers.
func example(t testing.TB) *world {
	t.Helper()
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
	return &world{f: f, o: audit.Options{RoleName: audit.DefaultRoleName}, state: state}
}

func write(t testing.TB, form string, r audit.Report, v audit.View) string {
	t.Helper()
	var b bytes.Buffer
	var data []byte
	var err error
	switch form {
	case "json":
		data, err = r.JSON()
	case "yaml":
		data, err = r.YAML()
	case "table":
		err = r.Table(&b, v)
	case "text":
		err = r.Text(&b, v)
	case "md":
		err = r.Markdown(&b, v)
	case "csv":
		err = r.CSV(&b)
	case "html":
		err = r.HTML(&b, v)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.Write(data)
	return b.String()
}

// TestForms: the example's audit in every form.
func TestForms(t *testing.T) {
	t.Parallel()
	r := example(t).audit(t)
	for _, form := range []string{"json", "yaml", "table", "text", "md", "csv", "html"} {
		testkit.Golden(t, "example."+form, write(t, form, r, audit.View{}))
	}
	testkit.Golden(t, "wide.table", write(t, "table", r, audit.View{Wide: true}))
	testkit.Golden(t, "painted.table", write(t, "table", r, audit.View{Paint: func(s report.Style, text string) string {
		return fmt.Sprintf("<%s>%s</>", [...]string{"critical", "warning", "info", "good", "strong", "faint"}[s], text)
	}}))
	one, err := r.Only("tf-demo", "tf-s3-reader")
	if err != nil {
		t.Fatal(err)
	}
	testkit.Golden(t, "one.text", write(t, "text", one, audit.View{}))
	unread := example(t)
	for i := range unread.f.Roles {
		unread.f.Roles[i] = live.Role{ARN: unread.f.Roles[i].ARN}
	}
	unread.gap(live.SourceRoles, "123456789012")
	testkit.Golden(t, "unread.table", write(t, "table", unread.audit(t), audit.View{Wide: true}))
}

// TestExample: the four ServiceAccounts of the reference cluster are there, in order.
func TestExample(t *testing.T) {
	t.Parallel()
	want := []string{"demo/s3-reader", "external-secrets/external-secrets", "kube-system/aws-load-balancer-controller", "kube-system/aws-node"}
	var got, all []string
	for _, w := range example(t).audit(t).ServiceAccounts {
		if all = append(all, w.Name()); slices.Contains(want, w.Name()) {
			got = append(got, w.Name())
		}
	}
	if !slices.Equal(got, want) || !slices.IsSorted(all) || len(all) != 15 {
		t.Errorf("%v of %v, want %v", got, all, want)
	}
}

// TestSchema: the report is what docs/schemas/audit.json says, which lets nothing else in.
func TestSchema(t *testing.T) {
	t.Parallel()
	const file = "../../docs/schemas/audit.json"
	schema, err := jsonschema.NewCompiler().Compile(file)
	if err != nil {
		t.Fatal(err)
	}
	worlds := map[string]*world{"the example": example(t), "sound": sound()}
	for check, list := range breaks() {
		for _, b := range list {
			w := sound()
			b.do(w)
			worlds[string(check)+", "+b.name] = w
		}
	}
	nothing := sound()
	nothing.f.ServiceAccounts, nothing.f.Associations, nothing.f.Pods, nothing.f.Workloads, nothing.f.Roles = nil, nil, nil, nil, nil
	worlds["nothing"] = nothing
	unread := example(t)
	for i := range unread.f.Roles {
		unread.f.Roles[i] = live.Role{ARN: unread.f.Roles[i].ARN}
	}
	unread.gap(live.SourcePods, "")
	worlds["unread"] = unread
	for name, w := range worlds {
		text, err := w.audit(t).JSON()
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
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if open := strings.Count(string(data), `"type": "object"`) - strings.Count(string(data), `"additionalProperties"`); open != 0 {
		t.Errorf("%d objects of the schema let in what it does not name", open)
	}
	var doc struct {
		Defs struct {
			Check struct{ Enum []audit.Check } `json:"check"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(doc.Defs.Check.Enum, audit.Checks()) {
		t.Errorf("checks of the schema: %v; of the code: %v", doc.Defs.Check.Enum, audit.Checks())
	}
}

// TestHostile: what others write into names, tags and policies does no harm in any form.
func TestHostile(t *testing.T) {
	t.Parallel()
	const evil = "=cmd|' /C calc'!A0<script>alert(1)</script>\x1b[31m|`**` @org/team ~~x~~ $x$ https://evil.example/ gh-1 \u202e"
	w := sound()
	w.f.ServiceAccounts = append(w.f.ServiceAccounts, live.ServiceAccount{Namespace: evil, Name: evil, Annotations: map[string]string{"eks.amazonaws.com/role-arn": evil}})
	for i, begins := range []string{"\t", " ", "\u00a0", "＝", "long " + strings.Repeat("x", 1<<18)} {
		w.f.ServiceAccounts = append(w.f.ServiceAccounts, live.ServiceAccount{Namespace: begins + evil, Name: fmt.Sprint(i), Annotations: map[string]string{"eks.amazonaws.com/role-arn": begins + evil}})
	}
	w.role().Tags = map[string]string{evil: evil}
	w.role().Policies = []live.Policy{{Name: evil, Everywhere: []string{evil}}}
	w.trust(`{"Sid":"x","Effect":"Allow","Principal":{"AWS":"210987654321","Federated":"=<script>"},"Action":"sts:AssumeRole"}`)
	w.f.Workloads[0].Name = evil
	w.state.Waivers = []desired.Waiver{{Check: "tags-missing", Owner: evil, Reason: evil, Role: arn(apiRole), Expires: now}}
	w.f.Gaps = []live.Gap{{Source: live.SourceReaders, Reason: live.GapRefused, Message: evil}}
	r := w.audit(t)
	for _, form := range []string{"table", "text", "md", "csv", "html"} {
		got := write(t, form, r, audit.View{Wide: true})
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
		if strings.Contains(got, "<script") && (form == "html" || form == "md") {
			t.Errorf("%s has the element", form)
		}
	}
	page := strings.ReplaceAll(write(t, "html", r, audit.View{}), " https://evil.example/ ", "") // as text
	for _, outside := range []string{"http://", "https://", "src=", "<link", "@import", "url("} {
		if strings.Contains(strings.ReplaceAll(page, "https://docs.aws.amazon.com", ""), outside) {
			t.Errorf("the page has %q", outside)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(write(t, "csv", r, audit.View{}))).ReadAll()
	if err != nil || len(rows) < 4 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	quoted := 0
	for _, row := range rows {
		for _, cell := range row {
			if strings.IndexAny(strings.TrimSpace(cell), "=+-@＝") == 0 {
				t.Errorf("a spreadsheet would run %q", cell)
			}
			if strings.HasPrefix(cell, "'=") {
				quoted++
			}
		}
	}
	if quoted == 0 {
		t.Error("nothing hostile came as far as a cell")
	}
}

// TestBounded: a role that a thousand ServiceAccounts share has no list of a thousand.
func TestBounded(t *testing.T) {
	t.Parallel()
	w := sound()
	var subs []string
	for n := range 60 {
		s := w.f.ServiceAccounts[0]
		s.Name = fmt.Sprintf("many-%02d", n)
		w.f.ServiceAccounts = append(w.f.ServiceAccounts, s)
		subs = append(subs, "system:serviceaccount:demo:"+s.Name)
	}
	w.trust(irsa("StringEquals", append(subs, api.OIDCSubject())...))
	r := w.audit(t)
	for _, f := range r.Findings {
		if len(f.Evidence) > 21 {
			t.Errorf("%s has %d lines of evidence", f.Check, len(f.Evidence))
		}
	}
	if got := row(t, r, api); len(got.Others) != 20 || got.OthersWhole {
		t.Errorf("%d others, whole %v; want 20 and not whole", len(got.Others), got.OthersWhole)
	}
}

// TestDocs holds docs/audit.md to the list: a paragraph of its own for each check, in the
// order of the code, that begins with its severities and its source, and says what mends it.
func TestDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "audit.md"))
	if err != nil {
		t.Fatal(err)
	}
	var got []audit.Check
	for _, part := range strings.Split(string(page), "\n### ")[1:] {
		name, body, _ := strings.Cut(part, "\n")
		c := audit.Check(name)
		got = append(got, c)
		var severities []string
		for _, s := range c.Severities() {
			severities = append(severities, "`"+string(s)+"`")
		}
		head := fmt.Sprintf("Severity: %s. Source: <%s>\n\n", strings.Join(severities, ", "), c.Source())
		body, _, _ = strings.Cut(body, "\n## ")
		said, begins := strings.CutPrefix(body, head)
		if !begins {
			t.Errorf("%s begins with %.120q, want %q", c, body, head)
		}
		if len(strings.TrimSpace(said)) < 120 || !strings.Contains(said, "Fix: ") {
			t.Errorf("%s: its paragraph says too little, or no fix", c)
		}
	}
	if !slices.Equal(got, audit.Checks()) {
		t.Errorf("docs/audit.md has %v\nthe code %v", got, audit.Checks())
	}
}

// TestComment: of thousands of ServiceAccounts the Markdown is no longer than a comment
// may be, has the worst, and says how much is left out and where it is.
func TestComment(t *testing.T) {
	t.Parallel()
	r := example(t).audit(t)
	if got := write(t, "md", r, audit.View{}); strings.Contains(got, "Left out") {
		t.Error("what has room is left out")
	}
	one, info, critical := r.ServiceAccounts[0], r.Findings[0], r.Findings[0]
	info.Severity, critical.Severity, info.Waived, critical.Waived = trust.Info, trust.Critical, false, false
	waived := critical
	waived.Waived = true
	r.ServiceAccounts, r.Findings = nil, nil
	for n := range 3000 {
		w, f := one, []audit.Finding{info, waived}[n%2]
		if w.ServiceAccount = fmt.Sprintf("quiet-%04d", n); n >= 2990 {
			w.ServiceAccount, f = fmt.Sprintf("worst-%04d", n), critical
		}
		f.Namespace, f.ServiceAccount = w.Namespace, w.ServiceAccount
		r.ServiceAccounts, r.Findings = append(r.ServiceAccounts, w), append(r.Findings, f)
		r.Unknown = append(r.Unknown, audit.Unknown{Namespace: w.Namespace, ServiceAccount: w.ServiceAccount, Fact: "a fact", Checks: []audit.Check{f.Check}})
	}
	got := write(t, "md", r, audit.View{})
	if len(got) > report.CommentLimit || len(got) < report.CommentLimit-2000 {
		t.Errorf("%d bytes, the limit is %d", len(got), report.CommentLimit)
	}
	rows, folds, unknown := strings.Count(got, "\n| ")-1, strings.Count(got, "<details>"), strings.Count(got, "\n- unknown: ")
	want := fmt.Sprintf("\n**Left out here**, because a comment has room for no more: %d unknown facts, %d table rows, %d folded blocks. `lanyard audit` with `-o text` or `html` prints all of it", len(r.Unknown)-unknown, 3000-rows, 3000-folds)
	if !strings.Contains(got, want) {
		t.Errorf("it ends with %q, want %q", got[len(got)-400:], want)
	}
	if rows, folds := strings.Count(got, "\n| "+one.Namespace+"/worst-"), strings.Count(got, "<summary>"+one.Namespace+"/worst-"); rows != 10 || folds != 10 {
		t.Errorf("%d rows and %d folds of the 10 with a critical finding", rows, folds)
	}
	if folds != strings.Count(got, "</details>") {
		t.Error("a fold does not end")
	}
}
