package test_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

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
	by := regexp.MustCompile(`by \(([a-z_, ]+)\)`)
	selected := regexp.MustCompile(`([a-z_]+)=~?"`)
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

// TestRulesAreTold: each alert says how bad it is and what it means, leads to a heading
// that is there, and is fired by a unit test.
func TestRulesAreTold(t *testing.T) {
	t.Parallel()
	tests := read(t, deploy+"/prometheus/rules_test.yaml")
	page := strings.ToLower(read(t, "../docs/deploy.md"))
	seen := map[string]bool{}
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			if seen[r.Alert] {
				t.Errorf("%s stands twice", r.Alert)
			}
			seen[r.Alert] = true
			if s := r.Labels["severity"]; s != "page" && s != "ticket" {
				t.Errorf("%s: severity %q, want page or ticket", r.Alert, s)
			}
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s: no summary or no description", r.Alert)
			}
			url := r.Annotations["runbook_url"]
			switch file, heading, _ := strings.Cut(strings.TrimPrefix(url, "https://github.com/lanyard-io/lanyard/blob/main/docs/"), "#"); {
			case file == "findings.md" && heading == "{{ $labels.kind }}":
			case file != "deploy.md" || !strings.Contains(page, "\n### "+heading+"\n"):
				t.Errorf("%s: runbook %s leads nowhere", r.Alert, url)
			}
			fires := regexp.MustCompile(`alertname="` + r.Alert + `",[^}]*alertstate="firing".*value: 1`)
			if !fires.MatchString(tests) {
				t.Errorf("%s: no unit test in deploy/prometheus/rules_test.yaml fires it", r.Alert)
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
			strings.HasPrefix(file, "prometheus/") && !strings.Contains(page, "deploy/"+file):
			t.Errorf("docs/deploy.md does not name deploy/%s", file)
		case strings.HasPrefix(file, "kubernetes/") && base != "kustomization.yaml":
			dir := deploy + "/" + strings.TrimSuffix(file, base)
			if !strings.Contains(read(t, dir+"kustomization.yaml"), base) {
				t.Errorf("deploy/%s is in no kustomization", file)
			}
		}
	}
}
