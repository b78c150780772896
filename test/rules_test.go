package test_test

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// ruleFile is what of Prometheus' rule files deploy/ uses.
// Source: https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/
type ruleFile struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

func rules(t *testing.T) ruleFile {
	t.Helper()
	var f ruleFile
	if err := yaml.UnmarshalStrict([]byte(read(t, deploy+"/prometheus/rules.yaml")), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

var metricRE = regexp.MustCompile(`\blanyard_[a-z_]+\b`)

// TestRulesNameMetrics: what the alerts and their tests ask for is in docs/metrics.md,
// which is itself compared with the code.
func TestRulesNameMetrics(t *testing.T) {
	t.Parallel()
	page := read(t, "../docs/metrics.md")
	for _, file := range []string{"rules.yaml", "rules_test.yaml"} {
		found := metricRE.FindAllString(read(t, deploy+"/prometheus/"+file), -1)
		if len(found) == 0 {
			t.Errorf("%s names no metric", file)
		}
		for _, name := range sorted(found) {
			if !strings.Contains(page, "| `"+name+"` |") {
				t.Errorf("%s: %s is not in docs/metrics.md", file, name)
			}
		}
	}
}

var labelRE = regexp.MustCompile("^\\| `(lanyard_[a-z_]+)` \\| [a-z]+ \\| ([^|]*) \\|")

// TestRulesNameLabels: an alert selects and groups by labels that a metric of its has.
func TestRulesNameLabels(t *testing.T) {
	t.Parallel()
	labels := map[string][]string{}
	for line := range strings.Lines(read(t, "../docs/metrics.md")) {
		if m := labelRE.FindStringSubmatch(line); m != nil {
			labels[m[1]] = strings.Fields(strings.NewReplacer("`", "", ",", " ").Replace(m[2]))
		}
	}
	by := regexp.MustCompile(`(?:by|on) \(([a-z_, ]+)\)`)
	selected := regexp.MustCompile(`([a-z_]+)(?:!~|!=|=~|=)"`)
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			var has []string
			for _, name := range metricRE.FindAllString(r.Expr, -1) {
				has = append(has, labels[name]...)
			}
			var asks []string
			for _, m := range by.FindAllStringSubmatch(r.Expr, -1) {
				asks = append(asks, strings.Split(m[1], ", ")...)
			}
			for _, m := range selected.FindAllStringSubmatch(r.Expr, -1) {
				asks = append(asks, m[1])
			}
			for _, label := range asks {
				if !slices.Contains(has, label) {
					t.Errorf("%s asks for label %s; its metrics have %v", r.Alert, label, has)
				}
			}
		}
	}
}

// runbooks is where an alert leads to.
const runbooks = "https://github.com/lanyard-io/lanyard/blob/main/docs/runbooks/"

// TestRulesAreTold: each alert says how bad it is and what it means, and leads to a page
// of its own that says what a person at night wants to know; each page has an alert, and
// the list of pages has both.
func TestRulesAreTold(t *testing.T) {
	t.Parallel()
	list := read(t, "../docs/runbooks/README.md")
	seen := map[string]bool{"README": true}
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			if seen[r.Alert] {
				t.Errorf("%s stands twice", r.Alert)
			}
			seen[r.Alert] = true
			severity := r.Labels["severity"]
			if severity != "page" && severity != "ticket" {
				t.Errorf("%s: severity %q, want page or ticket", r.Alert, severity)
			}
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s: no summary or no description", r.Alert)
			}
			if url := r.Annotations["runbook_url"]; url != runbooks+r.Alert+".md" {
				t.Errorf("%s: runbook %s", r.Alert, url)
			}
			if row := fmt.Sprintf("| [%[1]s](%[1]s.md) | %[2]s | ", r.Alert, severity); !strings.Contains(list, row) {
				t.Errorf("docs/runbooks/README.md has no row %s", row)
			}
			page := read(t, "../docs/runbooks/"+r.Alert+".md")
			var headings []string
			for _, m := range headingRE.FindAllStringSubmatch(strings.ReplaceAll(page, "\n# ", "\n"), -1) {
				headings = append(headings, m[1])
			}
			if diff := cmp.Diff([]string{r.Alert, "Who is hurt", "Look", "Do", "Silence"}, headings); diff != "" {
				t.Errorf("docs/runbooks/%s.md: headings (-want +got)\n%s", r.Alert, diff)
			}
			for part := range strings.SplitSeq(page, "\n## ") {
				if n := len(strings.Fields(part)); n < 5 {
					t.Errorf("docs/runbooks/%s.md: %q says little", r.Alert, part)
				}
			}
			if n := len(strings.Fields(page)); n > 450 {
				t.Errorf("docs/runbooks/%s.md has %d words, which nobody reads at night", r.Alert, n)
			}
			_, look, _ := strings.Cut(page, "\n## Look\n")
			if look, _, _ = strings.Cut(look, "\n## "); !strings.Contains(look, "\n```sh\n") {
				t.Errorf("docs/runbooks/%s.md has no command to look with", r.Alert)
			}
		}
	}
	for _, name := range pages(t) {
		if !seen[name] {
			t.Errorf("docs/runbooks/%s.md has no alert", name)
		}
	}
}

// pages are the runbooks, by name.
func pages(t *testing.T) []string {
	t.Helper()
	files, err := os.ReadDir("../docs/runbooks")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range files {
		out = append(out, strings.TrimSuffix(f.Name(), ".md"))
	}
	return out
}

// TestRunbookLinks: what a runbook names is there: pages, headings, metrics.
func TestRunbookLinks(t *testing.T) {
	t.Parallel()
	table := read(t, "../docs/metrics.md")
	links := 0
	for _, name := range pages(t) {
		page := read(t, "../docs/runbooks/"+name+".md")
		for _, m := range linkRE.FindAllStringSubmatch(page, -1) {
			links++
			link := path.Join("runbooks", m[1])
			if strings.HasPrefix(m[1], "https://") {
				link = m[1]
			}
			if err := follow(t, link); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, metric := range metricRE.FindAllString(page, -1) {
			if !strings.Contains(table, "| `"+metric+"` |") {
				t.Errorf("%s: %s is not in docs/metrics.md", name, metric)
			}
		}
	}
	if links < 40 {
		t.Errorf("%d links found; the search is broken", links)
	}
}

// ruleTests is what of promtool's test files deploy/ uses.
// Source: https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/
type ruleTests struct {
	RuleFiles          []string `json:"rule_files"`
	EvaluationInterval string   `json:"evaluation_interval"`
	Tests              []struct {
		Name        string
		Interval    string
		InputSeries []struct{ Series, Values string } `json:"input_series"`
		AlertTests  []struct {
			Alertname string
			EvalTime  string `json:"eval_time"`
			ExpAlerts []struct {
				ExpLabels      map[string]string `json:"exp_labels"`
				ExpAnnotations map[string]string `json:"exp_annotations"`
			} `json:"exp_alerts"`
		} `json:"alert_rule_test"`
		ExprTests []struct {
			Expr       string
			EvalTime   string `json:"eval_time"`
			ExpSamples []struct {
				Labels string
				Value  float64
			} `json:"exp_samples"`
		} `json:"promql_expr_test"`
	}
}

// TestRulesAreTried: the unit tests have each alert fire, and have it stay quiet beside
// what it looks at.
func TestRulesAreTried(t *testing.T) {
	t.Parallel()
	var tests ruleTests
	if err := yaml.UnmarshalStrict([]byte(read(t, deploy+"/prometheus/rules_test.yaml")), &tests); err != nil {
		t.Fatal(err)
	}
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			fires, quiet := false, false
			for _, group := range tests.Tests {
				there := slices.ContainsFunc(group.InputSeries, func(in struct{ Series, Values string }) bool {
					name, _, _ := strings.Cut(in.Series, "{")
					return slices.Contains(metricRE.FindAllString(r.Expr, -1), name)
				})
				for _, a := range group.AlertTests {
					if a.Alertname == r.Alert {
						fires, quiet = fires || len(a.ExpAlerts) > 0, quiet || there && len(a.ExpAlerts) == 0
					}
				}
				for _, e := range group.ExprTests {
					named := false
					for _, sample := range e.ExpSamples {
						named = named || strings.Contains(sample.Labels, `alertname="`+r.Alert+`",`) && sample.Value == 1
					}
					asked := strings.HasPrefix(e.Expr, "ALERTS{") && strings.Contains(e.Expr, `alertname="`+r.Alert+`"`)
					fires, quiet = fires || named, quiet || there && !named && (asked || e.Expr == `ALERTS{alertstate="firing"}`)
				}
			}
			if !fires || !quiet {
				t.Errorf("%s: deploy/prometheus/rules_test.yaml has it fire %t, has it quiet %t", r.Alert, fires, quiet)
			}
		}
	}
}

// TestRulesFire runs Prometheus' own unit tests where promtool is there: make check
// demands it, this only saves the way.
func TestRulesFire(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool: make check-rules says where it comes from")
	}
	cmd := exec.CommandContext(t.Context(), promtool, "test", "rules", "rules_test.yaml")
	cmd.Dir, cmd.Env = deploy+"/prometheus", os.Environ()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

var (
	deployRE = regexp.MustCompile(`deploy/[a-z0-9_./-]+[a-z0-9]`)
)

// TestDeployPage: what docs/deploy.md names of deploy/ is there, and every file of
// deploy/ is named there, or taken in by one that is.
func TestDeployPage(t *testing.T) {
	t.Parallel()
	page := read(t, "../docs/deploy.md")
	for _, name := range sorted(deployRE.FindAllString(page, -1)) {
		if _, err := os.Stat("../" + name); err != nil {
			t.Errorf("docs/deploy.md: %v", err)
		}
	}
	for _, file := range deployed(t) {
		base := file[strings.LastIndex(file, "/")+1:]
		switch {
		case strings.HasPrefix(file, "iam/") && !strings.Contains(page, "`"+base+"`"),
			(strings.HasPrefix(file, "prometheus/") || strings.HasPrefix(file, "grafana/")) && !strings.Contains(page, "deploy/"+file):
			t.Errorf("docs/deploy.md does not name deploy/%s", file)
		case strings.HasPrefix(file, "kubernetes/") && base != "kustomization.yaml":
			dir := deploy + "/" + strings.TrimSuffix(file, base)
			if !strings.Contains(read(t, dir+"kustomization.yaml"), base) {
				t.Errorf("deploy/%s is in no kustomization", file)
			}
		}
	}
}
