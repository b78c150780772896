package review_test

import (
	"os"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/lanyard-io/lanyard/migrate/review"
)

// TestDocs holds docs/risks.md to the list: a paragraph for each code, under its risk, in
// order, and none besides.
func TestDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/risks.md")
	if err != nil {
		t.Fatal(err)
	}
	var got []review.Code
	for _, section := range strings.Split(string(page), "\n## ")[1:] {
		risk, body, _ := strings.Cut(section, "\n")
		for _, part := range strings.Split(body, "\n### ")[1:] {
			code, paragraph, _ := strings.Cut(part, "\n")
			if got = append(got, review.Code(code)); len(strings.TrimSpace(paragraph)) < 60 {
				t.Errorf("%s: its paragraph says too little", code)
			}
			if is := review.Code(code).Risk(); string(is) != risk {
				t.Errorf("%s is under %s, and its risk is %s", code, risk, is)
			}
		}
	}
	if diff := gocmp.Diff(review.Codes(), got); diff != "" {
		t.Errorf("-codes +page\n%s", diff)
	}
}
