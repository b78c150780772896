package review_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/lanyard-io/lanyard/desired"
	"github.com/lanyard-io/lanyard/migrate/review"
	"github.com/lanyard-io/lanyard/sync/diff"
)

const evil = "<script>alert(1)</script>\x1b[31m|`**` @org/team #1 ![x](https://evil.example/) ~~x~~ $x$ https://evil.example/ gh-1 </details>\n\n# big\n| a | b |\n\u202e"

// hostile is a review in which every text that can come from Git or the live world is one.
func hostile(t testing.TB, text string) review.Review {
	in := pull(t, "role")
	f := *in.Snapshot.Facts()
	f.ServiceAccounts, f.Roles, f.Pods, f.Workloads = turned(f.ServiceAccounts), turned(f.Roles), turned(f.Pods), turned(f.Workloads)
	f.Cluster.Name = "irsa-lab"
	for i := range f.ServiceAccounts {
		a := f.ServiceAccounts[i]
		if a.Namespace == "demo" {
			a.Annotations = map[string]string{diff.AnnotationRole: text}
			a.Managers, a.Tool = nil, text
		}
		f.ServiceAccounts[i] = a
	}
	for i := range f.Pods {
		f.Pods[i].Name = fmt.Sprint(text, i)
	}
	for i := range f.Workloads {
		f.Workloads[i].Name = text
	}
	for i := range f.Roles {
		f.Roles[i].Tags = map[string]string{"alpha.eksctl.io/cluster-name": text, "crossplane-x": text}
	}
	in.Snapshot = snapshot(t, f)
	in.Head.Mappings = append([]desired.Mapping{}, in.Head.Mappings...)
	for i := range in.Head.Mappings {
		m := &in.Head.Mappings[i]
		m.Name, m.At.File, m.RoleAt.File = text, text, text
		m.Migration.Hold, m.Migration.Query, m.IRSA.Audience, m.PodIdentity.SessionPolicy = text, text, text, text
	}
	in.Base.Mappings = append([]desired.Mapping{}, in.Base.Mappings...)
	for i := range in.Base.Mappings {
		m := &in.Base.Mappings[i]
		m.At.File, m.Migration.Hold, m.Migration.Query, m.IRSA.Audience = text, "was "+text, "was "+text, "was "+text
	}
	in.Head.Revision.Ref, in.Base.Revision.Ref = text, text
	in.Policy.Diff.Forbid = func(m desired.Mapping) (string, bool) { return text, m.Subject.Namespace == "late" }
	r := review.New(in)
	r.Refused = append(r.Refused, review.Mistake{File: text, What: text, Instead: text})
	r.Rails = append(r.Rails, review.Rail{Rule: text, Message: text, Mappings: []string{text}})
	r.Together = append(r.Together, review.Together{Field: "x", Position: text, Before: text, After: text, Mappings: []string{text}})
	r.NewGaps = append(r.NewGaps, review.Gap{Namespace: text, ServiceAccount: text, What: text})
	return r
}

// inert reports what in a Markdown text is not as harmless as it is to be: code apart,
// markup that is not the report's own.
func inert(md string) error {
	if i := strings.IndexFunc(md, func(r rune) bool { return r != '\n' && !unicode.IsGraphic(r) && r != '\u200b' }); i >= 0 {
		return fmt.Errorf("control character %q", md[i:min(i+10, len(md))])
	}
	fenced := false
	for n, line := range strings.Split(md, "\n") {
		if trimmed := strings.TrimSpace(line); strings.HasPrefix(trimmed, "```") {
			fenced = !fenced
			continue
		}
		if fenced {
			continue
		}
		plain, code := outside(line)
		for _, own := range []string{"<details>", "</details>", "<summary>", "</summary>", "<b>", "</b>", "<br>", "<sub>", "</sub>"} {
			plain = strings.ReplaceAll(plain, own, "")
		}
		if strings.Contains(plain, "<") {
			return fmt.Errorf("line %d has HTML: %s", n+1, line)
		}
		for _, markup := range []string{"@org", "#1", "](", "://", "gh-1", "~~", "$x"} {
			if strings.Contains(plain, markup) {
				return fmt.Errorf("line %d has %q: %s", n+1, markup, line)
			}
		}
		if code {
			return fmt.Errorf("line %d ends in code: %s", n+1, line)
		}
	}
	if fenced {
		return fmt.Errorf("a code block does not end")
	}
	return nil
}

// outside is what of a line is neither code nor escaped, and whether code does not end.
// In code a backslash is one.
// Source: https://github.github.com/gfm/#backslash-escapes
func outside(line string) (plain string, code bool) {
	var b strings.Builder
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '`':
			code = !code
		case code:
		case line[i] == '\\':
			i++
		default:
			b.WriteByte(line[i])
		}
	}
	return b.String(), code
}

// columns reports whether every row of a table has as many cells as its head.
func columns(md string) error {
	want := 0
	for n, line := range strings.Split(md, "\n") {
		if !strings.HasPrefix(line, "|") {
			want = 0
			continue
		}
		got := bars(line)
		if want == 0 {
			want = got
		}
		if got != want {
			return fmt.Errorf("line %d has %d bars, its head %d: %s", n+1, got, want, line)
		}
	}
	return nil
}

// bars counts what ends a cell: code does not protect it, a backslash does.
// Source: https://github.github.com/gfm/#tables-extension-
func bars(line string) (n int) {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case '|':
			n++
		}
	}
	return n
}

// TestHostile: what others write does no harm in any form, whatever has room.
func TestHostile(t *testing.T) {
	t.Parallel()
	for _, text := range []string{evil, strings.Repeat(evil, 30), "`" + strings.Repeat("```\n", 5)} {
		r := hostile(t, text)
		for _, limit := range []int{60_000, 20_000, 3_000} {
			var b bytes.Buffer
			if err := r.Markdown(&b, limit); err != nil {
				t.Fatal(err)
			}
			if err := inert(b.String()); err != nil {
				t.Error(err)
			}
			if err := columns(b.String()); err != nil {
				t.Error(err)
			}
		}
		for form, write := range forms(r) {
			var b bytes.Buffer
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			if strings.ContainsAny(b.String(), "\x1b\u202e") && form != "json" {
				t.Errorf("%s has a control character", form)
			}
		}
	}
}

// TestLimit: a comment is never longer than the limit, and says what is not in it.
func TestLimit(t *testing.T) {
	t.Parallel()
	r := review.New(pull(t, "defaults"))
	for r.Workloads = append(r.Workloads, r.Workloads...); len(r.Workloads) < 5000; {
		r.Workloads = append(r.Workloads, r.Workloads...)
	}
	for len(r.Before) < 5000 {
		r.Before = append(r.Before, r.Before...)
	}
	for _, limit := range []int{65_000, 20_000, 5_000} {
		var b bytes.Buffer
		if err := r.Markdown(&b, limit); err != nil {
			t.Fatal(err)
		}
		if b.Len() > limit || b.Len() < limit/2 {
			t.Errorf("%d bytes, the limit is %d", b.Len(), limit)
		}
		for _, want := range []string{"### lanyard: medium risk", "**Left out here**", "table rows", "folded workloads", "earlier findings", "`lanyard diff --base`"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("with %d bytes there is no %q", limit, want)
			}
		}
		if strings.Count(b.String(), "<details>") != strings.Count(b.String(), "</details>") {
			t.Errorf("with %d bytes a fold does not end", limit)
		}
	}
	var b bytes.Buffer
	if err := review.New(pull(t, "flip")).Markdown(&b, 60_000); err != nil || strings.Contains(b.String(), "Left out") {
		t.Errorf("what has room is left out: %v", err)
	}
}

// FuzzMarkdown: no text from outside does harm in a comment.
func FuzzMarkdown(f *testing.F) {
	f.Add(evil)
	f.Add("`")
	f.Add("\\")
	f.Add("a\r\nb")
	const mark = "5b1d7a"
	small := hostile(f, mark)
	small.Workloads = small.Workloads[:2]
	form, err := small.JSON()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		var r review.Review
		if err := json.Unmarshal(bytes.ReplaceAll(form, []byte(mark), quoted[1:len(quoted)-1]), &r); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := r.Markdown(&b, 60_000); err != nil {
			t.Fatal(err)
		}
		if err := inert(b.String()); err != nil {
			t.Fatal(err)
		}
		if err := columns(b.String()); err != nil {
			t.Fatal(err)
		}
	})
}
