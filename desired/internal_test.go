package desired

import (
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

func TestGlob(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "a/b:c", true},
		{"a", "a", true},
		{"a", "b", false},
		{"a*", "a", true},
		{"a*c", "abcbc", true},
		{"a*c", "abcb", false},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"?", "", false},
		{"*a*b*", "xxaxxbxx", true},
		{"*a*b*", "xxbxxaxx", false},
		{"**", "x", true},
		{"[ab]", "a", false},
		{"prod-*", "Prod-eu", false},
		{strings.Repeat("*a", 50) + "b", strings.Repeat("a", 600), false},
	} {
		if got := glob(tt.pattern, tt.name); got != tt.want {
			t.Errorf("glob(%q, %q) is %v, want %v", tt.pattern, tt.name, got, tt.want)
		}
	}
}

// FuzzGlob holds the matcher against a regular expression.
func FuzzGlob(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 100 || len(name) > 1000 || strings.ContainsFunc(pattern+name, func(r rune) bool { return r < ' ' || r > '~' }) {
			return
		}
		re := regexp.QuoteMeta(pattern)
		re = strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(re)
		if got, want := glob(pattern, name), regexp.MustCompile(`^`+re+`$`).MatchString(name); got != want {
			t.Fatalf("glob(%q, %q) is %v, want %v", pattern, name, got, want)
		}
	})
}

func TestNearest(t *testing.T) {
	t.Parallel()
	words := []string{"roleARN", "mechanism", "clusters", "irsa", "podIdentity"}
	for s, want := range map[string]string{
		"rolearn": "roleARN", "role": "roleARN", "mecanism": "mechanism", "cluster": "clusters", "pod-identity": "podIdentity",
		"colour": "", "x": "", strings.Repeat("x", 50): "",
	} {
		if got := nearest(s, words); got != want {
			t.Errorf("nearest(%q) is %q, want %q", s, got, want)
		}
	}
}

// TestTable: what errors and schema print of the table is there.
func TestTable(t *testing.T) {
	t.Parallel()
	var walk func(s *shape, path string)
	walk = func(s *shape, path string) {
		if s.pattern != nil && (s.is == "" || s.write == "") {
			t.Errorf("%s has a pattern and no words for it", path)
		}
		if s.blank && s.kind != text {
			t.Errorf("%s may be blank and is no text", path)
		}
		for _, f := range s.fields {
			if !strings.HasSuffix(f.doc, ".") {
				t.Errorf("%s.%s: %q is no sentence", path, f.key, f.doc)
			}
			walk(f.shape, path+"."+f.key)
		}
		if s.items != nil {
			walk(s.items, path+"[]")
		}
	}
	for _, d := range documents {
		walk(d.shape, d.kind)
	}
	walk(configurationShape, kindConfiguration)
}

// TestAlike: the net under a rewrite sees every difference but places and comments.
func TestAlike(t *testing.T) {
	t.Parallel()
	root := func(text string) *yaml.Node {
		roots, err := rootsOf("a.yaml", []byte(text))
		if err != nil || len(roots) != 1 {
			t.Fatalf("%q: %d documents, %v", text, len(roots), err)
		}
		return roots[0]
	}
	const text = "a: &x 1\nb: [*x, 'c']\n"
	for other, want := range map[string]bool{
		text: true, "# so\n\na: &x 1 # and so\nb: [*x,   'c']\n": true,
		"a: &x 2\nb: [*x, 'c']\n": false, "a: &x 1\nb: [*x, \"c\"]\n": false, "a: &y 1\nb: [*y, 'c']\n": false, "a: &x 1\nb: [1, 'c']\n": false,
		"b: [&x 1, 'c']\na: *x\n": false, "a: &x 1\nb: [*x, 'c']\nd: 1\n": false, "a: &x !!float 1\nb: [*x, 'c']\n": false, "a: &x 1\nb:\n- *x\n- 'c'\n": false,
	} {
		if got := alike(root(text), root(other)); got != want {
			t.Errorf("%q and %q alike: %v, want %v", text, other, got, want)
		}
	}
}
