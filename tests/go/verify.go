// Verifies a copy of a Sluis log with Go's golang.org/x/mod/sumdb, which nobody of Sluis wrote: the signature under the
// checkpoint, every entry against the signed root, inclusion and consistency from the tiles alone, and files of proof.
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go run verify.go KEY DIRECTORY [PROOF...]
package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	verifier, err := note.NewVerifier(os.Args[1])
	check(err)
	directory := os.Args[2]
	size, root := checkpoint(read(filepath.Join(directory, "checkpoint")), verifier)

	// Every entry, hashed anew.
	var stored hashes
	for at := int64(0); at < size; at += 256 {
		width := size - at
		if width > 256 {
			width = 256
		}
		bundle := read(filepath.Join(directory, file("entries", at/256, width)))
		for n := at; n < at+width; n++ {
			length := binary.BigEndian.Uint16(bundle)
			entry := bundle[2 : 2+length]
			bundle = bundle[2+length:]
			more, err := tlog.StoredHashes(n, entry, stored)
			check(err)
			stored = append(stored, more...)
		}
		if len(bundle) > 0 {
			fail("a bundle holds more than its name says")
		}
	}
	rebuilt, err := tlog.TreeHash(size, stored)
	check(err)
	if rebuilt != root {
		fail("the signed root is not that of the entries")
	}

	// Proofs from the tiles, which the library checks against the root first.
	tree := tlog.Tree{N: size, Hash: root}
	tiles := tlog.TileHashReader(tree, &reader{directory})
	for _, n := range []int64{0, 1, 255, 256, size / 2, size - 1} {
		if n >= size {
			continue
		}
		proof, err := tlog.ProveRecord(size, n, tiles)
		check(err)
		leaf := stored[tlog.StoredHashIndex(0, n)]
		check(tlog.CheckRecord(proof, size, root, n, leaf))
		leaf[0] ^= 1
		if tlog.CheckRecord(proof, size, root, n, leaf) == nil {
			fail("a changed entry has a proof")
		}
		older, err := tlog.TreeHash(n+1, stored)
		check(err)
		if n+1 < size {
			consistency, err := tlog.ProveTree(size, n+1, tiles)
			check(err)
			check(tlog.CheckTree(consistency, size, root, n+1, older))
		}
	}
	for _, name := range os.Args[3:] {
		inclusion(name, verifier)
	}
	fmt.Printf("%d entries, %d proofs\n", size, len(os.Args)-3)
}

// A file of proof (C2SP tlog-proof) beside its leaf.
func inclusion(name string, verifier note.Verifier) {
	head, signed, found := strings.Cut(string(read(name)), "\n\n")
	lines := strings.Split(head, "\n")
	if !found || lines[0] != "c2sp.org/tlog-proof@v1" {
		fail("not a file of proof")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	check(err)
	var proof tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := tlog.ParseHash(line)
		check(err)
		proof = append(proof, hash)
	}
	size, root := checkpoint([]byte(signed), verifier)
	leaf := read(strings.TrimSuffix(name, ".tlog-proof") + ".leaf")
	check(tlog.CheckRecord(proof, size, root, index, tlog.RecordHash(leaf)))
}

func checkpoint(signed []byte, verifier note.Verifier) (int64, tlog.Hash) {
	opened, err := note.Open(signed, note.VerifierList(verifier))
	check(err)
	lines := strings.Split(opened.Text, "\n")
	if lines[0] != verifier.Name() {
		fail("a checkpoint of another log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	bytes, err := base64.StdEncoding.DecodeString(lines[2])
	check(err)
	var root tlog.Hash
	copy(root[:], bytes)
	return size, root
}

// The path of a file: three digits of its number at a time.
func file(level string, n, width int64) string {
	digits := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		digits = fmt.Sprintf("x%03d/%s", n%1000, digits)
	}
	name := "tile/" + level + "/" + digits
	if width < 256 {
		name += fmt.Sprintf(".p/%d", width)
	}
	return name
}

type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		found[i] = h[index]
	}
	return found, nil
}

type reader struct{ directory string }

func (r *reader) Height() int { return 8 }

func (r *reader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		bytes, err := os.ReadFile(filepath.Join(r.directory, file(strconv.Itoa(tile.L), tile.N, int64(tile.W))))
		if err != nil {
			return nil, err
		}
		all = append(all, bytes)
	}
	return all, nil
}

func (r *reader) SaveTiles([]tlog.Tile, [][]byte) {}

func read(name string) []byte {
	found, err := os.ReadFile(name)
	check(err)
	return found
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(why string) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(1)
}
