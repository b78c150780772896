package actors

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func TestSchedule(t *testing.T) {
	t.Parallel()
	monday := time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)
	tests := []struct {
		line, zone string
		want       bool
	}{
		{"* * * * *", "UTC", true},
		{"30 9 * * *", "UTC", true},
		{"30 10 * * *", "Europe/Berlin", true},
		{"30 9 * * *", "Europe/Berlin", false},
		{"*/15 8-10 * * 1-5", "UTC", true},
		{"*/20 * * * *", "UTC", false},
		{"30 9 * * 0,7", "UTC", false},
		{"30 9 1 * 1", "UTC", true}, // either day will do
		{"30 9 1 * *", "UTC", false},
		{"10/20 * * * *", "UTC", true},
		{"@hourly", "UTC", false},
	}
	for _, test := range tests {
		s, err := parseSchedule(test.line, test.zone)
		if err != nil {
			t.Errorf("%q: %v", test.line, err)
			continue
		}
		if got := s.matches(monday.In(s.zone)); got != test.want {
			t.Errorf("%q in %s on Monday 09:30 UTC: got %t, want %t", test.line, test.zone, got, test.want)
		}
	}
	for _, bad := range []string{"", "* * * *", "60 * * * *", "* * 0 * *", "a * * * *", "*/0 * * * *", "5-1 * * * *"} {
		if _, err := parseSchedule(bad, "UTC"); err == nil {
			t.Errorf("%q: got no error", bad)
		}
	}
}

func TestGlob(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pattern, s string
		want       bool
	}{
		{"demo", "demo", true}, {"demo", "demo2", false}, {"de*", "demo", true}, {"*", "", true}, {"?", "", false},
		{"d?mo", "demo", true}, {"*/x", "a/b/x", true}, {"[a]", "a", false}, {"*a*b", "xaybzb", true},
	}
	for _, test := range tests {
		if got := glob(test.pattern, test.s); got != test.want {
			t.Errorf("glob(%q, %q) = %t, want %t", test.pattern, test.s, got, test.want)
		}
	}
}

func TestMatchNodeRequirements(t *testing.T) {
	t.Parallel()
	n := NewNode("n", EC2)
	n.Labels["gen"] = "5"
	for want, pods := range map[bool][]string{
		true:  {"gen In 4,5", "gen NotIn 4", "absent NotIn 4", "gen Exists", "absent DoesNotExist", "gen Gt 4", "gen Lt 6"},
		false: {"gen In 4", "gen NotIn 5", "absent Exists", "gen DoesNotExist", "gen Gt 5", "absent Lt 6", "gen Gt x"},
	} {
		for _, r := range pods {
			if got := selects(needs(r), n); got != want {
				t.Errorf("%s: got %t, want %t", r, got, want)
			}
		}
	}
}

// needs is a pod with one required term of node affinity, such as "gen In 4,5".
func needs(requirement string) *corev1.Pod {
	f := strings.Fields(requirement)
	r := corev1.NodeSelectorRequirement{Key: f[0], Operator: corev1.NodeSelectorOperator(f[1])}
	if len(f) > 2 {
		r.Values = strings.Split(f[2], ",")
	}
	return &corev1.Pod{Spec: corev1.PodSpec{Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{r}}},
		},
	}}}}
}
