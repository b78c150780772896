package migrate

import "strings"

// SDKOf returns the name and version of the SDK that a user agent names, as the table of
// minimum versions and migration.sdk have them; empty where it names none that is known.
// CloudTrail shows user agents of AssumeRoleWithWebIdentity, which tell before a crossing
// what a workload is built with.
//
// A user agent is a list of name/version, after what programs put before it ("Hadoop
// 3.3.4, aws-sdk-java/1.12.262", "APN/1.0 HashiCorp/1.0 ... aws-sdk-go-v2/1.32.5") and
// with metadata after it ("md/Botocore#1.34.51"). CloudTrail puts some in brackets.
// Whoever asks chooses the text, so it is a hint and no more.
//
// Source: https://docs.aws.amazon.com/java/api/latest/software/amazon/awssdk/core/useragent/package-summary.html
// (metadata: md/[name]#[value]); the rest is as in the events of this package's tests.
func SDKOf(agent string) (name, version string) {
	if len(agent) > longestAgent {
		agent = agent[:longestAgent]
	}
	found := map[string]string{}
	for _, word := range strings.FieldsFunc(agent, func(r rune) bool { return strings.ContainsRune(" \t,;()[]", r) }) {
		product, number, ok := strings.Cut(strings.TrimPrefix(word, "md/"), "/")
		if !ok { // metadata: md/name#version
			product, number, ok = strings.Cut(strings.TrimPrefix(word, "md/"), "#")
		}
		product = strings.ToLower(product)
		if len(numbers(number)) < 2 || !ok || found[product] != "" {
			continue
		}
		found[product] = number
	}
	for _, p := range products {
		if v := found[p.agent]; v != "" {
			return p.name, v
		}
	}
	return "", ""
}

// longestAgent bounds what is read of a user agent: AWS's own are some hundreds of bytes.
const longestAgent = 2 << 10

// products are the SDKs by their names in user agents, in lower case; the first that is
// there counts. The AWS CLI and boto3 are built on botocore and name it too. Of .NET, the
// first product bears the version of the service's package, and only the core's package
// has the code in question.
//
// Sources: user agents in AWS's own examples of CloudTrail events, such as
// https://docs.aws.amazon.com/IAM/latest/UserGuide/cloudtrail-integration.html, and
// https://github.com/aws/aws-sdk-net/discussions/3214 for .NET.
var products = []struct{ agent, name string }{
	{"aws-cli", "aws-cli"},
	{"boto3", "boto3"},
	{"botocore", "botocore"},
	{"aws-sdk-go-v2", "aws-sdk-go-v2"},
	{"aws-sdk-go", "aws-sdk-go"},
	{"aws-sdk-java", "aws-sdk-java"},
	{"aws-sdk-js", "aws-sdk-js"},
	{"aws-sdk-nodejs", "aws-sdk-js"},
	{"aws-sdk-kotlin", "aws-sdk-kotlin"},
	{"aws-sdk-ruby3", "aws-sdk-ruby3"},
	{"aws-sdk-cpp", "aws-sdk-cpp"},
	{"aws-sdk-dotnet-core", "aws-sdk-dotnet-core"},
	{"aws-sdk-php", "aws-sdk-php"},
	{"aws-sdk-rust", "aws-sdk-rust"},
	{"aws-sdk-swift", "aws-sdk-swift"},
}

// TakesPodIdentity says whether that version of an SDK takes credentials from EKS Pod
// Identity. It is not known for one that AWS's table does not name by a version: Rust's
// by the day of its release, Swift's not at all.
func TakesPodIdentity(name, version string) (takes, known bool) {
	first := firstOf(name, version)
	if first == "" || len(numbers(version)) == 0 {
		return false, false
	}
	return !older(version, first), true
}
