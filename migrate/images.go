package migrate

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// sdk is the first version of an SDK that takes credentials from EKS Pod Identity.
type sdk struct {
	name  string // as it names itself in user agents
	first string
}

// sdks is AWS's own table. The Go SDK v2 is named there by its release, 2023-11-14: its
// config module v1.25.0, which needs the core module v1.22.2.
//
// Sources: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-minimum-sdk.html,
// the go.mod of github.com/aws/aws-sdk-go-v2/config v1.25.0, and for .NET, whose package
// bears another number than the release, https://github.com/aws/aws-sdk-net/discussions/3214
var sdks = []sdk{
	{"aws-sdk-go", "1.47.11"},
	{"aws-sdk-go-v2", "1.22.2"},
	{"aws-sdk-java", ""}, // 1.x and 2.x share a name in user agents: see [firstOf]
	{"boto3", "1.34.41"},
	{"botocore", "1.34.41"},
	{"aws-cli", ""}, // as above
	{"aws-sdk-js", ""},
	{"aws-sdk-kotlin", "1.0.1"},
	{"aws-sdk-ruby3", "3.188.0"},
	{"aws-sdk-cpp", "1.11.263"},
	{"aws-sdk-dotnet-core", "3.7.302"}, // beside the service's package, which has numbers of its own: see [SDKOf]
	{"aws-sdk-dotnet-coreclr", "3.7.302"},
	{"aws-sdk-php", "3.287.1"},
}

// byMajor are the first versions of SDKs of which two majors live side by side.
var byMajor = map[string]map[int]string{
	"aws-sdk-java": {1: "1.12.746", 2: "2.21.30"},
	"aws-cli":      {1: "1.30.0", 2: "2.15.0"},
	"aws-sdk-js":   {2: "2.1550.0", 3: "3.458.0"},
}

// firstOf returns the first version of an SDK that will do, for a version of the same
// major; empty where the SDK is not in the table.
func firstOf(name, version string) string {
	i := slices.IndexFunc(sdks, func(s sdk) bool { return strings.EqualFold(s.name, name) })
	if i < 0 {
		return ""
	}
	if sdks[i].first != "" {
		return sdks[i].first
	}
	major, _, _ := strings.Cut(version, ".")
	n, _ := strconv.Atoi(major)
	return byMajor[sdks[i].name][n]
}

// image is what is known of a program that people run, by the last parts of its image's
// name. A version between fails and works is not known to do either.
type image struct {
	name  string
	fails string // the last version known to fail with Pod Identity; empty: none is
	works string // the first version known to work; empty: none is
	// source is where it says so.
	source string
}

// images holds only what a source says: an issue, or the SDK in the go.mod of the last
// release that is too old and of the first that is not, beside AWS's table above. What is
// not here is a warning, never a verdict.
var images = []image{
	{"aws-load-balancer-controller", "2.6.2", "2.7.0", "https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/3503"},
	{"external-secrets/external-secrets", "0.9.9", "0.9.10", "https://github.com/external-secrets/external-secrets/issues/2951; go.mod of v0.9.10: aws-sdk-go v1.48.16"},
	{"karpenter/controller", "", "0.34.0", "https://github.com/aws/karpenter-provider-aws/issues/5784"},
	{"external-dns", "0.14.1", "0.14.2", "https://github.com/kubernetes-sigs/external-dns/issues/4353; go.mod of v0.14.2: aws-sdk-go v1.53.3"},
	{"aws-ebs-csi-driver", "1.25.0", "1.26.0", "https://github.com/kubernetes-sigs/aws-ebs-csi-driver/issues/1870; go.mod of v1.26.0: aws-sdk-go v1.49.1"},
	{"aws-efs-csi-driver", "2.0.2", "2.0.3", "https://github.com/kubernetes-sigs/aws-efs-csi-driver/issues/1257; go.mod of v2.0.2: aws-sdk-go v1.44.116, of v2.0.3: v1.50.3"},
	{"aws-fsx-csi-driver", "1.1.0", "1.2.0", "https://github.com/kubernetes-sigs/aws-fsx-csi-driver/issues/372; go.mod of v1.2.0: aws-sdk-go v1.50.21"},
	{"amazon-k8s-cni", "", "1.15.5", "the go.mod of github.com/aws/amazon-vpc-cni-k8s v1.15.5: aws-sdk-go v1.48.10"},
	{"aws-for-fluent-bit", "2.32.4", "2.32.5", "https://github.com/aws/aws-for-fluent-bit/pull/888"},
	{"fluent/fluent-bit", "3.0.4", "", "https://github.com/fluent/fluent-bit/issues/8550"},
	{"argoexec", "3.5.11", "", "https://github.com/argoproj/argo-workflows/issues/13659"},
	{"aws-cli", "2.14.999", "2.15.0", "https://docs.aws.amazon.com/eks/latest/userguide/pod-id-minimum-sdk.html"},
	{"cert-manager-controller", "1.13.6", "1.14.0", "go.mod of github.com/cert-manager/cert-manager v1.13.6: aws-sdk-go v1.45.7, of v1.14.0: v1.49.13"},
	{"velero-plugin-for-aws", "1.9.2", "1.10.0", "https://github.com/velero-io/velero/issues/7421; go.mod of velero-plugin-for-aws v1.9.2: aws-sdk-go-v2 v1.21.0, of v1.10.0: v1.24.1"},
	{"kedacore/keda", "2.12.1", "2.13.0", "go.mod of github.com/kedacore/keda v2.12.1: aws-sdk-go-v2 v1.21.0, of v2.13.0: v1.24.1"},
	// It makes nodes come and go. Its own copy of the SDK is v1.48.7 from 1.26.7, 1.27.6 and 1.28.3 on.
	{"cluster-autoscaler", "1.26.6", "1.28.3", "https://github.com/kubernetes/autoscaler/issues/6392; cloudprovider/aws/aws-sdk-go/aws/version.go of those releases"},
}

// named is an image's entry with the version of its tag.
type named struct {
	image
	version string // without a leading v; empty where the tag has none
}

// imageOf looks an image up by its repository, whatever the registry before it. A tag
// that begins with no number ("latest", a digest) has no version.
func imageOf(reference string) named {
	repository, _, _ := strings.Cut(reference, "@")
	tag := ""
	if at := strings.LastIndexByte(repository, ':'); at > strings.LastIndexByte(repository, '/') {
		repository, tag = repository[:at], repository[at+1:]
	}
	for _, i := range images {
		if repository == i.name || strings.HasSuffix(repository, "/"+i.name) {
			tag = strings.TrimPrefix(tag, "v")
			if len(numbers(tag)) < 2 {
				tag = ""
			}
			return named{i, tag}
		}
	}
	return named{}
}

// numbers returns the leading dotted numbers of a version: those of "1.15.5-eksbuild.1"
// are 1, 15 and 5.
func numbers(version string) []int {
	var out []int
	for _, part := range strings.Split(version, ".") {
		end := 0
		for end < len(part) && part[end] >= '0' && part[end] <= '9' {
			end++
		}
		n, err := strconv.Atoi(part[:end])
		if err != nil {
			break
		}
		if out = append(out, n); end < len(part) {
			break
		}
	}
	return out
}

// older compares versions by their numbers; a missing number is 0.
func older(a, b string) bool {
	x, y := numbers(a), numbers(b)
	for i := range max(len(x), len(y)) {
		var n, m int
		if i < len(x) {
			n = x[i]
		}
		if i < len(y) {
			m = y[i]
		}
		if c := cmp.Compare(n, m); c != 0 {
			return c < 0
		}
	}
	return false
}
