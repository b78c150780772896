package test_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// awsServices are those that the docs have commands of. The AWS CLI names operations and
// parameters as the API does, in kebab case.
// https://docs.aws.amazon.com/cli/latest/userguide/cli-usage-commandstructure.html
var awsServices = map[string]reflect.Type{
	"cloudtrail": reflect.TypeFor[*cloudtrail.Client](),
	"eks":        reflect.TypeFor[*eks.Client](),
	"iam":        reflect.TypeFor[*iam.Client](),
	"sts":        reflect.TypeFor[*sts.Client](),
}

// awsGlobal are flags that every command of the AWS CLI has, or every one that pages.
// https://docs.aws.amazon.com/cli/latest/reference/#options
var awsGlobal = []string{"region", "profile", "output", "query", "endpoint-url", "no-cli-pager", "max-items"}

var awsRE = regexp.MustCompile("(?m)(?:^|[`(]|[$] | )aws ((?:[a-z]+) (?:[a-z]+-[a-z-]+)[^`|)#;&<>]*)")

// TestAWSCommands: each command of the AWS CLI that the docs give is an operation of its
// service, with parameters that it has.
func TestAWSCommands(t *testing.T) {
	t.Parallel()
	found := 0
	for file, text := range docsPages(t) {
		for _, m := range awsRE.FindAllStringSubmatch(strings.ReplaceAll(text, "\\\n", " "), -1) {
			line, _, _ := strings.Cut(m[1], "\n")
			words := strings.Fields(line)
			found++
			client, known := awsServices[words[0]]
			if !known {
				t.Errorf("%s: aws %s: service %s is not one that this test knows", file, line, words[0])
				continue
			}
			method, is := methodOf(client, words[1])
			if !is {
				t.Errorf("%s: aws %s: %s has no operation %s", file, line, words[0], words[1])
				continue
			}
			input := method.Type.In(2).Elem()
			for _, word := range words[2:] {
				flag, is := strings.CutPrefix(word, "--")
				flag, _, _ = strings.Cut(flag, "=")
				if !is || slices.Contains(awsGlobal, flag) {
					continue
				}
				if _, has := input.FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, strings.ReplaceAll(flag, "-", "")) }); !has {
					t.Errorf("%s: aws %s: %s has no parameter --%s", file, line, words[1], flag)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("%d commands found; the search is broken", found)
	}
}

// methodOf is the SDK's method for an operation of the CLI: create-open-id-connect-provider
// is CreateOpenIDConnectProvider.
func methodOf(client reflect.Type, operation string) (reflect.Method, bool) {
	for m := range client.Methods() {
		if strings.EqualFold(m.Name, strings.ReplaceAll(operation, "-", "")) {
			return m, true
		}
	}
	return reflect.Method{}, false
}

// docsPages are README and the pages of docs, by path.
func docsPages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	read := func(path string) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(path, "../")] = string(data)
	}
	read("../README.md")
	err := filepath.WalkDir("../docs", func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			read(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
