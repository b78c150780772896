package rights

import (
	"fmt"
	"strings"
)

// Markdown returns what is needed, with the reason of each, as Markdown tables.
func (w Wants) Markdown() string {
	var b strings.Builder
	table := func(title string, statements []Statement) {
		if len(statements) == 0 {
			return
		}
		fmt.Fprintf(&b, "%s\n\n| actions | on | only if | why |\n|---|---|---|---|\n", title)
		for _, s := range statements {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", code(s.Actions), code(s.Resources), only(s), s.Why)
		}
		fmt.Fprintln(&b)
	}
	table("AWS, in the cluster's account:", w.Statements)
	table("AWS, in each other account:", w.Away)
	fmt.Fprint(&b, "Kubernetes:\n\n| resources | verbs | where | why |\n|---|---|---|---|\n")
	for _, r := range w.Rules {
		kubernetesRow(&b, r, "everywhere")
	}
	for _, r := range w.Own {
		kubernetesRow(&b, r, "namespace `"+w.Place.Namespace+"`")
	}
	return b.String()
}

func kubernetesRow(b *strings.Builder, r Rule, where string) {
	var names []string
	for _, x := range append(r.Paths, r.Resources...) {
		names = append(names, strings.TrimPrefix(r.Group+"/"+x, "/"))
	}
	if len(r.Paths) > 0 {
		names, where = r.Paths, "path"
	}
	if len(r.Names) > 0 {
		where += ", named " + code(r.Names)
	}
	fmt.Fprintf(b, "| %s | %s | %s | %s |\n", code(names), code(r.Verbs), where, r.Why)
}

func only(s Statement) string {
	var out []string
	for _, keys := range s.Condition { // one operator and one key each
		for key, values := range keys {
			out = append(out, "`"+key+"` is "+code(values))
		}
	}
	return strings.Join(out, ", ")
}

func code(list []string) string { return "`" + strings.Join(list, "` `") + "`" }
