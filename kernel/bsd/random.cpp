// SPDX-License-Identifier: BSD-2-Clause
#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include <bsd/random.hpp>
#include <bsd/uio.hpp>
#include <machine/machine.hpp>
#include <sched/thread.hpp>
#include <sync/spinlock.hpp>

namespace lentil {

namespace {

constinit SpinLock<Rank::device> lock;
constinit uint32_t key[8] = {};
constinit uint64_t block_number = 0;

/// Made with the key before this one, to be given out: most requests are far smaller than a block. What was given out is
/// zero already.
constinit unsigned char ready[512] = {};
constinit size_t ready_left = 0; ///< at the end of `ready`

/// What programs start with: ChaCha8, whose key lasts for a batch, comes from the batch before, and every so often from the
/// generator itself. What was given out is zero already.
struct ImageStream {
    static constexpr uint32_t batches = 64; ///< from one key of the generator's
    uint32_t key[8] = {};
    uint32_t left_of_key = 0;
    uint32_t left = 0;          ///< of `words`, at the end
    uint64_t words[8 * 8] = {}; ///< eight blocks; it begins with the next key
};
constinit ImageStream images;

using Source = void (*)();
constinit Source source = nullptr;
constexpr uint64_t refills_between = 4096; ///< a megabyte
constinit uint64_t refills = 0;

inline void quarter_round(uint32_t& a, uint32_t& b, uint32_t& c, uint32_t& d) {
    a += b, d = std::rotl(d ^ a, 16);
    c += d, b = std::rotl(b ^ c, 12);
    a += b, d = std::rotl(d ^ a, 8);
    c += d, b = std::rotl(b ^ c, 7);
}

/// One block of RFC 8439's ChaCha20, or of ChaCha with fewer rounds, with a 64-bit counter and no nonce: a key is used for one
/// batch only.
[[gnu::optimize("no-tree-slp-vectorize")]] void chacha_block(uint32_t out[16], const uint32_t (&k)[8], uint64_t number,
                                                             int double_rounds) {
    constexpr uint32_t c0 = 0x61707865, c1 = 0x3320646e, c2 = 0x79622d32, c3 = 0x6b206574;
    const auto n0 = static_cast<uint32_t>(number), n1 = static_cast<uint32_t>(number >> 32);
    // Sixteen variables rather than an array: they stay in registers.
    uint32_t x0 = c0, x1 = c1, x2 = c2, x3 = c3, x4 = k[0], x5 = k[1], x6 = k[2], x7 = k[3], x8 = k[4], x9 = k[5],
             x10 = k[6], x11 = k[7], x12 = n0, x13 = n1, x14 = 0, x15 = 0;
    for (int i = 0; i < double_rounds; i++) {
        quarter_round(x0, x4, x8, x12);
        quarter_round(x1, x5, x9, x13);
        quarter_round(x2, x6, x10, x14);
        quarter_round(x3, x7, x11, x15);
        quarter_round(x0, x5, x10, x15);
        quarter_round(x1, x6, x11, x12);
        quarter_round(x2, x7, x8, x13);
        quarter_round(x3, x4, x9, x14);
    }
    out[0] = x0 + c0, out[1] = x1 + c1, out[2] = x2 + c2, out[3] = x3 + c3;
    out[4] = x4 + k[0], out[5] = x5 + k[1], out[6] = x6 + k[2], out[7] = x7 + k[3];
    out[8] = x8 + k[4], out[9] = x9 + k[5], out[10] = x10 + k[6], out[11] = x11 + k[7];
    out[12] = x12 + n0, out[13] = x13 + n1, out[14] = x14, out[15] = x15;
}

void chacha_block(uint32_t out[16]) { chacha_block(out, key, block_number++, 10); }

/// A new key from the old one's stream: what was given out cannot be found again from the state.
void rekey_locked() {
    uint32_t block[16];
    chacha_block(block);
    std::memcpy(key, block, sizeof key);
}

void refill_locked() {
    uint32_t block[16];
    for (size_t at = 0; at < sizeof ready; at += sizeof block) {
        chacha_block(block);
        std::memcpy(ready + at, block, sizeof block);
    }
    // Its beginning is the next key, and never given out.
    std::memcpy(key, ready, sizeof key);
    std::memset(ready, 0, sizeof key);
    ready_left = sizeof ready - sizeof key;
    if (source && ++refills % refills_between == 0)
        source();
}

void stir_locked(const void* bytes, size_t n) {
    const auto* p = static_cast<const unsigned char*>(bytes);
    ready_left = images.left = images.left_of_key = 0; // what comes next depends on `bytes`
    while (n > 0) {
        const size_t piece = n < sizeof key ? n : sizeof key;
        unsigned char mixed[sizeof key];
        std::memcpy(mixed, key, sizeof key);
        for (size_t i = 0; i < piece; i++)
            mixed[i] ^= p[i];
        std::memcpy(key, mixed, sizeof key);
        rekey_locked();
        p += piece;
        n -= piece;
    }
}

/// Gives up to n bytes, one at least.
size_t give_locked(unsigned char* out, size_t n) {
    if (ready_left == 0)
        refill_locked();
    unsigned char* const from = ready + sizeof ready - ready_left;
    const size_t piece = n < ready_left ? n : ready_left;
    std::memcpy(out, from, piece);
    std::memset(from, 0, piece);
    ready_left -= piece;
    return piece;
}

} // namespace

void random_init() {
    random_stir(machine::boot_info.rng_seed, machine::boot_info.rng_seed_size);
    const nanos_t now = machine::now_ns();
    random_stir(&now, sizeof now);
}

void random_stir(const void* bytes, size_t n) {
    SpinGuard guard(lock);
    stir_locked(bytes, n);
}

void random_set_source(void (*ask)()) {
    SpinGuard guard(lock);
    source = ask;
}

void random_bytes(void* out, size_t n) {
    auto* p = static_cast<unsigned char*>(out);
    while (n > 0) {
        // A lock for each kilobyte: a long request must not keep interrupts off.
        SpinGuard guard(lock);
        for (int pieces = 0; pieces < 4 && n > 0; pieces++) {
            const size_t piece = give_locked(p, n);
            p += piece;
            n -= piece;
        }
    }
}

namespace {

void refill_images_locked() {
    if (images.left_of_key == 0) {
        auto* const key_bytes = reinterpret_cast<unsigned char*>(images.key);
        for (size_t n = 0; n < sizeof images.key;)
            n += give_locked(key_bytes + n, sizeof images.key - n);
        images.left_of_key = ImageStream::batches;
    }
    images.left_of_key--;
    uint32_t block[16];
    for (size_t at = 0; at < sizeof images.words; at += sizeof block) {
        chacha_block(block, images.key, at, 4);
        std::memcpy(reinterpret_cast<char*>(images.words) + at, block, sizeof block);
    }
    std::memset(block, 0, sizeof block);
    std::memcpy(images.key, images.words, sizeof images.key);
    std::memset(images.words, 0, sizeof images.key);
    images.left = std::size(images.words) - sizeof images.key / 8;
}

} // namespace

void random_for_image(std::span<uint64_t> out) {
    SpinGuard guard(lock);
    for (uint64_t& word : out) {
        if (images.left == 0)
            refill_images_locked();
        word = std::exchange(images.words[std::size(images.words) - images.left--], 0);
    }
}

namespace {

/// Moves all that the Uio asks for, by `move(block, bytes)`.
template<size_t Size, class Move>
Result<size_t> move_blocks(Uio& uio, Move move) {
    static_assert(page_size % Size == 0);
    uint8_t block[Size];
    size_t done = 0;
    Result<size_t> moved = size_t{0};
    while (uio.left() > 0) {
        const size_t wanted = std::min(uio.left(), Size);
        moved = move(block, wanted);
        done += moved ? *moved : 0;
        if (!moved || *moved < wanted)
            break;
        if (done % page_size == 0 && current_thread().interrupt_level.load(std::memory_order_relaxed) != 0)
            break;
    }
    std::memset(block, 0, sizeof block);
    return done > 0 ? done : moved;
}

} // namespace

Result<size_t> random_give(Uio& uio) {
    return move_blocks<256>(uio, [&](uint8_t* block, size_t n) {
        random_bytes(block, n);
        return uio.put(block, n);
    });
}

Result<size_t> random_take(Uio& uio) {
    return move_blocks<64>(uio, [&](uint8_t* block, size_t n) {
        Result<size_t> taken = uio.take(block, n);
        if (taken)
            random_stir(block, *taken);
        return taken;
    });
}

} // namespace lentil
