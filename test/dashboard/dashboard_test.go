package dashboard_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

const root = "../../"

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(root + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// board is what of a dashboard is read here.
type board struct {
	SchemaVersion int
	Links         []struct{ URL string }
	Annotations   struct {
		List []struct {
			Name, Expr string
			Datasource source
		}
	}
	Templating struct {
		List []struct {
			Name, Type string
			Query      json.RawMessage
			Datasource *source
		}
	}
	Panels []panel
}

type source struct{ Type, UID string }

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               source
	GridPos                  struct{ X, Y, W, H int }
	FieldConfig              struct {
		Defaults struct {
			Unit       string
			Thresholds struct{ Steps []struct{ Color string } }
		}
	}
	Targets []struct {
		Expr, LegendFormat string
		Datasource         source
	}
}

func load(t *testing.T) board {
	t.Helper()
	var b board
	if err := json.Unmarshal([]byte(read(t, "deploy/grafana/lanyard.json")), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// current is the schema version of the classic model in the newest Grafana: that of the
// pinned SDK. Source:
// https://grafana.com/docs/grafana/latest/visualizations/dashboards/build-dashboards/view-dashboard-json-model/
func current() int { return int(dashboard.NewDashboard().SchemaVersion) }

// TestModel: the file is a dashboard to Grafana's own model of one, with no key that the
// model, the panels and the queries do not know, and of the current version.
func TestModel(t *testing.T) {
	t.Parallel()
	plugins.RegisterDefaultPlugins()
	var d dashboard.Dashboard
	if err := d.UnmarshalJSONStrict([]byte(read(t, "deploy/grafana/lanyard.json"))); err != nil && err.Error() != "" {
		t.Fatal(err) // where all is well it is an empty list, not nil
	}
	if err := d.Validate(); err != nil && err.Error() != "" {
		t.Error(err)
	}
	if int(d.SchemaVersion) != current() {
		t.Errorf("schemaVersion %d, want %d", d.SchemaVersion, current())
	}
}

// TestPanels: each panel says what it shows, in which unit, and where that is written
// down; none lies on another.
func TestPanels(t *testing.T) {
	t.Parallel()
	const docs = "https://github.com/lanyard-io/lanyard/blob/main/docs/"
	linkRE := regexp.MustCompile(`\[Documentation\]\(` + regexp.QuoteMeta(docs) + `([a-zA-Z/]+\.md)(?:#([a-z-]+))?\)`)
	taken, ids := map[[2]int]string{}, map[int]bool{}
	rows := 0
	for _, p := range load(t).Panels {
		if ids[p.ID] || p.ID == 0 {
			t.Errorf("%s: id %d stands twice, or is none", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies on %q, or beyond the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			rows++
			continue
		}
		if p.Title == "" || p.FieldConfig.Defaults.Unit == "" || len(p.FieldConfig.Defaults.Thresholds.Steps) == 0 || len(p.Targets) == 0 {
			t.Errorf("%s: no title, unit, threshold or query", p.Title)
		}
		m := linkRE.FindStringSubmatch(p.Description)
		if m == nil || len(strings.Fields(p.Description)) < 5 {
			t.Errorf("%s: description %q; want some words, and a link to the docs", p.Title, p.Description)
			continue
		}
		page, heading := read(t, "docs/"+m[1]), "\n#"
		if m[2] != "" {
			heading = "(?mi)^#+ " + strings.ReplaceAll(m[2], "-", "[ -]") + "[?]?$"
		}
		if m[2] != "" && !regexp.MustCompile(heading).MatchString(page) {
			t.Errorf("%s: docs/%s has no heading %s", p.Title, m[1], m[2])
		}
	}
	if rows != 4 {
		t.Errorf("%d rows, want fleet, workload, calls and daemon", rows)
	}
}

// exposition is what docs/metrics.md says that lanyard exposes. It is made of the code's
// table, and package app's tests hold a running daemon to that.
func exposition(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{
		// Of Go's and Prometheus' own collectors, which a daemon has too.
		"process_resident_memory_bytes": nil,
	}
	rowRE := regexp.MustCompile("(?m)^\\| `(lanyard_[a-z_]+)` \\| ([a-z]+) \\| (?:`([a-z_, ]+)` )?\\|")
	for _, m := range rowRE.FindAllStringSubmatch(read(t, "docs/metrics.md"), -1) {
		var labels []string
		if m[3] != "" {
			labels = strings.Split(m[3], ", ")
		}
		if m[2] == "histogram" {
			out[m[1]+"_bucket"], out[m[1]+"_sum"], out[m[1]+"_count"] = append(labels, "le"), labels, labels
			continue
		}
		out[m[1]] = labels
	}
	if len(out) < 60 {
		t.Fatalf("%d metrics found in docs/metrics.md", len(out))
	}
	return out
}

// ofScrape are the labels that Prometheus gives every series.
var ofScrape = []string{"instance", "job"}

// asked is a query and what it asks for.
type asked struct {
	metrics []string
	labels  map[string]bool // that the query's series may have
}

// judge parses a query and compares every name in it with what is exposed.
func judge(t *testing.T, where, query string, exposed map[string][]string) asked {
	t.Helper()
	a := asked{labels: map[string]bool{}}
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		t.Errorf("%s: %s: %v", where, query, err)
		return a
	}
	// has are the labels of what is below a node.
	has := func(node parser.Node) map[string]bool {
		out := map[string]bool{}
		parser.Inspect(node, func(n parser.Node, _ []parser.Node) error {
			if v, is := n.(*parser.VectorSelector); is {
				for _, l := range append(slices.Clone(ofScrape), exposed[v.Name]...) {
					out[l] = true
				}
			}
			return nil
		})
		return out
	}
	check := func(node parser.Node, labels ...string) {
		for known := has(node); len(labels) > 0; labels = labels[1:] {
			if !known[labels[0]] {
				t.Errorf("%s: %s: no metric there has label %s; they have %v", where, query, labels[0], slices.Sorted(maps.Keys(known)))
			}
		}
	}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.VectorSelector:
			if _, is := exposed[n.Name]; !is {
				t.Errorf("%s: %s: %s is not exposed", where, query, n.Name)
			}
			a.metrics = append(a.metrics, n.Name)
			for _, m := range n.LabelMatchers {
				if m.Name != "__name__" {
					check(n, m.Name)
				}
			}
		case *parser.AggregateExpr:
			check(n.Expr, n.Grouping...)
		case *parser.BinaryExpr:
			if n.VectorMatching == nil {
				break
			}
			check(n, append(n.VectorMatching.Include, n.VectorMatching.MatchingLabels...)...)
			if n.VectorMatching.On {
				check(n.LHS, n.VectorMatching.MatchingLabels...)
				check(n.RHS, n.VectorMatching.MatchingLabels...)
			}
		}
		return nil
	})
	a.labels = has(expr)
	return a
}

// filled puts values in place of Grafana's variables.
func filled(query string) string {
	return strings.NewReplacer("$namespace", "demo", "$service_account", "reader", "$__rate_interval", "5m").Replace(query)
}

var (
	legendRE = regexp.MustCompile(`\{\{\s*([a-z_]+)\s*\}\}`)
	valuesRE = regexp.MustCompile(`^label_values\((.*), ([a-z_]+)\)$`)
)

// TestQueries: every query of the dashboard and of its variables parses, and asks for
// metrics and labels that lanyard exposes, of the data source that is chosen.
func TestQueries(t *testing.T) {
	t.Parallel()
	exposed, chosen := exposition(t), source{"prometheus", "${datasource}"}
	b := load(t)
	used := map[string]bool{}
	for _, p := range b.Panels {
		for _, target := range p.Targets {
			if target.Datasource != chosen || p.Datasource != chosen {
				t.Errorf("%s: data source %v", p.Title, target.Datasource)
			}
			a := judge(t, p.Title, filled(target.Expr), exposed)
			for _, m := range legendRE.FindAllStringSubmatch(target.LegendFormat, -1) {
				if !a.labels[m[1]] {
					t.Errorf("%s: legend %q: no metric there has label %s", p.Title, target.LegendFormat, m[1])
				}
			}
			for _, name := range a.metrics {
				used[name] = true
			}
			if strings.Contains(target.Expr, "$") && strings.Contains(filled(target.Expr), "$") {
				t.Errorf("%s: %s: a variable that the dashboard does not have", p.Title, target.Expr)
			}
		}
	}
	for _, a := range b.Annotations.List {
		if judge(t, a.Name, a.Expr, exposed); a.Datasource != chosen {
			t.Errorf("%s: data source %v", a.Name, a.Datasource)
		}
	}
	variables := 0
	for _, v := range b.Templating.List {
		if v.Type != "query" {
			continue
		}
		variables++
		var q struct{ Query string }
		if err := json.Unmarshal(v.Query, &q); err != nil || v.Datasource == nil || *v.Datasource != chosen {
			t.Errorf("%s: %v, data source %v", v.Name, err, v.Datasource)
		}
		m := valuesRE.FindStringSubmatch(q.Query)
		if m == nil {
			t.Errorf("%s: %s is not label_values(metric, label)", v.Name, q.Query)
			continue
		}
		if a := judge(t, v.Name, filled(m[1]), exposed); !a.labels[m[2]] {
			t.Errorf("%s: %s: no label %s", v.Name, q.Query, m[2])
		}
	}
	if variables != 2 || len(used) < 50 {
		t.Errorf("%d variables and %d metrics; the search is broken", variables, len(used))
	}
}

// TestRules: the alerts ask for metrics and labels that lanyard exposes.
func TestRules(t *testing.T) {
	t.Parallel()
	var file struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/prometheus/rules.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	exposed, n := exposition(t), 0
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			judge(t, fmt.Sprint("alert ", r.Alert), r.Expr, exposed)
			n++
		}
	}
	if n < 20 {
		t.Errorf("%d alerts found", n)
	}
}
