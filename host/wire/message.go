package wire

import "encoding/binary"

// HeaderSize is the size of a message's type and length, in bytes.
const HeaderSize = 5

// MaxMessage is the largest message body that PostgreSQL itself accepts, in bytes.
const MaxMessage = 1<<30 - 1

// Message types that a frontend sends.
const (
	Bind         = 'B'
	Close        = 'C'
	CopyData     = 'd'
	CopyDone     = 'c'
	CopyFail     = 'f'
	Describe     = 'D'
	Execute      = 'E'
	Flush        = 'H'
	FunctionCall = 'F'
	Parse        = 'P'
	Password     = 'p'
	Query        = 'Q'
	Sync         = 'S'
	Terminate    = 'X'
)

// Message types that a backend sends, where no constant above has the same letter and sense.
const (
	Authentication       = 'R'
	BackendKeyData       = 'K'
	BindComplete         = '2'
	CloseComplete        = '3'
	CommandComplete      = 'C'
	CopyBothResponse     = 'W'
	CopyInResponse       = 'G'
	CopyOutResponse      = 'H'
	DataRow              = 'D'
	EmptyQueryResponse   = 'I'
	ErrorResponse        = 'E'
	FunctionCallResponse = 'V'
	NoData               = 'n'
	NoticeResponse       = 'N'
	NotificationResponse = 'A'
	ParameterDescription = 't'
	ParameterStatus      = 'S'
	ParseComplete        = '1'
	PortalSuspended      = 's'
	ReadyForQuery        = 'Z'
	RowDescription       = 'T'
)

// Transaction statuses of ReadyForQuery.
const (
	Idle    = 'I'
	InBlock = 'T'
	Failed  = 'E'
)

// ReadyIdle is a whole ReadyForQuery outside a transaction block.
var readyIdle = [...]byte{ReadyForQuery, 0, 0, 0, 5, Idle}

// AppendReadyIdle appends a ReadyForQuery outside a transaction block.
func AppendReadyIdle(dst []byte) []byte { return append(dst, readyIdle[:]...) }

// AppendMessage appends a message of the given type and body.
func AppendMessage(dst []byte, kind byte, body []byte) []byte {
	dst = append(dst, kind)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(body)+4))
	return append(dst, body...)
}

// AppendParameterStatus appends a ParameterStatus. Neither string may hold a zero byte.
func AppendParameterStatus(dst []byte, name string, value []byte) []byte {
	dst = append(dst, ParameterStatus)
	dst = binary.BigEndian.AppendUint32(dst, uint32(4+len(name)+1+len(value)+1))
	dst = append(dst, name...)
	dst = append(dst, 0)
	dst = append(dst, value...)
	return append(dst, 0)
}

// CutString splits a body behind its first zero-terminated string. It reports false where none ends in body. The
// result points into body.
func CutString(body []byte) (s, rest []byte, ok bool) {
	for i, c := range body {
		if c == 0 {
			return body[:i], body[i+1:], true
		}
	}
	return nil, body, false
}
