// Package cli is lanyard's mouth: one file for each verb of design.md section 8, on
// cobra. A verb reads its flags into package app's options, runs them, and prints.
//
// Standard output is the answer, standard error the talk, each line of it with the
// prefix "lanyard:". Exit codes: 0 nothing to do and nothing unread, 2 differences
// or gaps, 1 could not answer. Colour only on a terminal, and never with NO_COLOR.
//
// It decides nothing about the world. Only the command's main imports it.
//
//	code := cli.Main(ctx, []string{"diff", "--path", "fleet", "--live", "live.yaml"}, cli.System())
package cli
