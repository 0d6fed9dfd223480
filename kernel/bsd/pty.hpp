// SPDX-License-Identifier: BSD-2-Clause
// Pseudo-terminals: a terminal (the slave) whose device is a file that a program holds (the master).
#pragma once

#include <bsd/tty.hpp>

namespace lentil {

class Pty;

/// The ptys of one devpts, by number. Lives as long as any of them does.
class PtyTable final : public ZonedRefCounted<PtyTable> {
public:
    static constexpr const char* zone_name = "pty_tables";
    /// The pty with that number whose master is open, nullptr if there is none.
    RefPtr<Pty> find(unsigned number);
    /// The lowest number >= `from` of one that find() finds, -1 if there is none.
    int next(unsigned from);

private:
    friend class Pty;
    Pty* first_ = nullptr; ///< the lock of all tables; in order of numbers
};

/// Both ends. The slave is the Tty itself; the master's side has names of its own. Lives as long as either is open.
class Pty final : public Tty {
public:
    static constexpr const char* zone_name = "ptys";
    static constexpr unsigned max_count = 4096;

    /// With the lowest free number, locked, and with a master. nospc if there were `limit` in the table, or too many in all; nomem.
    static Result<RefPtr<Pty>> create(RefPtr<PtyTable> table, unsigned limit);
    explicit Pty(Buffer<char> queue);
    ~Pty() override;
    void dispose() override { zone_delete(this); }

    unsigned number() const { return number_; }
    uint64_t device_number() const override;
    /// Where its number counts.
    PtyTable& table() const { return *table_; }

    /// The slave is opened and closed; io while it is locked (TIOCSPTLCK) and once the master is gone.
    Result<void> use() override;
    void unuse() override;

    // -- the master ------------------------------------------------------------------------------------------------------
    /// What was written to the slave; in packet mode with a byte before it. io when nothing is left and the slave was closed.
    Result<size_t> master_read(Uio& uio, bool nonblocking);
    /// As typed at the slave.
    Result<size_t> master_write(Uio& uio, bool nonblocking);
    Result<uint64_t> master_ioctl(uint32_t command, uint64_t argument);
    uint32_t master_poll(uint32_t events, PollTable* table);
    /// The slave hangs up; its name goes.
    void master_closed();

    // -- the node in devpts: what devpts sets when it is made, and chmod and chown change --------------------------------------
    std::atomic<uint32_t> mode{0600}, uid{0}, gid{0};
    std::atomic<nanos_t> atime{0}, mtime{0}, ctime{0};

protected:
    size_t output_room() override;
    void input_taken() override { master_write_waitq_.wake_all(); }
    void flush_output() override;
    void tell_master(uint8_t status) override;

private:
    static void take_output(void* self, std::string_view bytes);
    Result<size_t> take_packet(Uio& uio);
    bool master_readable() const;

    unsigned number_ = 0;
    friend class PtyTable;
    RefPtr<PtyTable> table_;                 ///< none if it has no number
    Pty* next_ = nullptr;                    ///< in the table
    Mutex<Rank::tty> input_lock_;            ///< what different writers type does not mix
    mutable SpinLock<Rank::pty> queue_lock_; ///< q
    Buffer<char> queue_;                     ///< q; a ring
    size_t first_ = 0, used_ = 0;            ///< q
    uint32_t slaves_ = 0;                    ///< q; open files
    bool locked_ = true;                     ///< q
    bool slave_closed_ = false;              ///< q; it was open, and is no more
    bool master_open_ = true;                ///< q
    bool packets_ = false;                   ///< q; TIOCPKT
    uint8_t status_ = 0;                     ///< q; what the master did not hear yet
    Waitq master_read_waitq_, master_write_waitq_;
};

} // namespace lentil
