// Package interop compares lanyard with software of other hands: sync/trust with an
// evaluator of IAM policies written by others, and the sandbox's AWS double with the
// clients of the AWS SDK for JavaScript.
//
// Both run under Node, each in a process of its own, and are installed by make from
// package-lock.json. They are no part of the product, which needs no Node: everything
// here but this file is built with the tag "nightly" only. The evaluator,
// @cloud-copilot/iam-simulate, is under the AGPL: it is called, unchanged, and neither
// copied nor shipped.
//
// A difference is either a mistake, and mended, or has a rule with a name, its reason
// and a count in this package; there is no third case. Nothing imports this package.
//
//	npm --prefix test/interop ci && go test -tags nightly ./test/interop
package interop
