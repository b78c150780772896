// Package forge keeps a report on each open pull request of the watched repository: one
// comment that is edited, and one status on the head's commit.
//
// [Reporter] decides which pull requests are due, asks a [Differ] what merging each would
// do, and makes the [Host] show that. What it knows it finds at the host: its own comment
// by a hidden mark and the author, so that a restart, a second replica or an answer that
// got lost adds no second one. It reads nothing of a pull request but its number, its
// commits, and whether it comes from a fork; what a pull request changes is Git's to say,
// to the Differ. It runs nothing of it.
//
// A host that fails, is slow or asks for patience costs the reporter time, and nobody
// else: it has a goroutine and a budget of its own.
//
// It imports internal/remedy; package internal/forge/github is a [Host], and
// internal/app puts both together.
//
//	r := forge.New(forge.Options{Host: host, Diff: diff, Stamp: stamp, Name: "lanyard/irsa-lab", Base: "main"})
//	r.Run(ctx, woken)
package forge
