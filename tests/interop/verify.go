// Checks what the library gives away with golang.org/x/mod/sumdb alone: the signed note, a proof of inclusion, a proof of
// consistency, and every hash of the tiles.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type task struct {
	Note, Vkey, Tiles string
	Index             int64
	Leaf              string
	Inclusion         []string
	OldSize           int64
	OldRoot           string
	Consistency       []string
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func decode(text string) []byte {
	data, err := base64.StdEncoding.DecodeString(text)
	must(err)
	return data
}

func hash(text string) (h tlog.Hash) {
	if copy(h[:], decode(text)) != tlog.HashSize {
		must(fmt.Errorf("a hash of %d characters", len(text)))
	}
	return h
}

func hashes(texts []string) (all []tlog.Hash) {
	for _, text := range texts {
		all = append(all, hash(text))
	}
	return all
}

type tiles struct{ folder string }

func (t tiles) Height() int                         { return 8 }
func (t tiles) SaveTiles([]tlog.Tile, [][]byte)     {}
func (t tiles) ReadTiles(wanted []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range wanted {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1) // C2SP leaves the height out
		one, err := os.ReadFile(filepath.Join(t.folder, path))
		if err != nil {
			return nil, err
		}
		data = append(data, one)
	}
	return data, nil
}

func main() {
	var job task
	must(json.NewDecoder(os.Stdin).Decode(&job))
	verifier, err := note.NewVerifier(job.Vkey)
	must(err)
	opened, err := note.Open([]byte(job.Note), note.VerifierList(verifier))
	must(err)
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	tree := tlog.Tree{N: size, Hash: hash(lines[2])}

	leaf := tlog.RecordHash(decode(job.Leaf))
	must(tlog.CheckRecord(tlog.RecordProof(hashes(job.Inclusion)), tree.N, tree.Hash, job.Index, leaf))
	must(tlog.CheckTree(tlog.TreeProof(hashes(job.Consistency)), tree.N, tree.Hash, job.OldSize, hash(job.OldRoot)))

	reader := tlog.TileHashReader(tree, tiles{job.Tiles})
	for first := int64(0); first < size; first += 256 {
		last := min(first+256, size)
		path := tlog.Tile{H: 8, L: 0, N: first / 256, W: int(last - first)}.Path()
		path = strings.Replace(path, "tile/8/0/", "tile/entries/", 1)
		data, err := os.ReadFile(filepath.Join(job.Tiles, path))
		must(err)
		for index := first; index < last; index++ {
			length := int(binary.BigEndian.Uint16(data))
			record := tlog.RecordHash(data[2 : 2+length])
			data = data[2+length:]
			stored, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, index)})
			must(err)
			if stored[0] != record {
				must(fmt.Errorf("entry %d is not in its tile", index))
			}
		}
	}
	fmt.Println("verified", size)
}
