package txn

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
)

// chain is the checksum of a journal line, over the previous line's checksum and the
// line's text. The first line's checksum includes the transaction's ID, which is the
// file's name. So neither a line nor a whole journal can be taken for one of another
// transaction.
//
// The checksum has no key: a process that can write to a journal could also read a key
// beside it. Handler.Check limits the values that a line with a right checksum may
// contain.
type chain [sha256.Size]byte

// ErrTampered reports that a journal differs from the journal that its transaction
// wrote.
var ErrTampered = errors.New("the checksum is wrong: the file was changed after it was written")

func seed(id string) chain { return sha256.Sum256([]byte("apt-be journal " + id)) }

func (c chain) next(text []byte) chain { return sha256.Sum256(append(c[:len(c):len(c)], text...)) }

// seal returns the line as it is in the file. c is its checksum.
func (c chain) seal(text []byte) []byte {
	return append(hex.AppendEncode(append(text, ' '), c[:]), '\n')
}

// open returns the text of a line that follows a line with the checksum c, and the
// line's own checksum.
func (c chain) open(sealed []byte) (text []byte, next chain, err error) {
	at := bytes.LastIndexByte(sealed, ' ')
	if at < 0 {
		return nil, c, ErrTampered
	}
	text = sealed[:at]
	next = c.next(text)
	if !bytes.Equal(next.seal(bytes.Clone(text)), sealed) {
		return nil, c, ErrTampered
	}
	return text, next, nil
}
