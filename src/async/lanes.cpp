#include "async/lanes.h"

namespace skiff::async {

struct Lanes::Job {
    std::function<Result<void>()> work;
    Event done;
    Result<void> result;
};

// One job's claim on its lane; the lane goes with the last.
class Lanes::Place {
public:
    Place(Lanes& lanes, std::string key) : lanes_(lanes), key_(std::move(key)) {
        auto& lane = lanes_.lanes_[key_];
        if (!lane) {
            lane = std::make_shared<Lane>();
        }
        lane_ = lane;
        ++lane_->jobs;
    }
    ~Place() {
        if (--lane_->jobs == 0) {
            lanes_.lanes_.erase(key_);
        }
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    [[nodiscard]] Lane& lane() { return *lane_; }

private:
    Lanes& lanes_;
    std::string key_;
    std::shared_ptr<Lane> lane_;
};

Lanes::Lanes(Executor executor, BlockingPool& pool) : pool_(pool), jobs_(std::move(executor)) {}

Task<void> Lanes::carry_out(BlockingPool* pool, std::shared_ptr<Place> place,
                            std::shared_ptr<Job> job) {
    auto turn = co_await place->lane().free.acquire();
    if (!turn) {
        job->result = fail(std::move(turn.error()));
    } else {
        job->result = co_await pool->run(job->work);
    }
    job->done.set();
}

Task<Result<void>> Lanes::run(std::string key, std::function<Result<void>()> work) {
    return run(std::move(key), pool_, std::move(work));
}

Task<Result<void>> Lanes::run(std::string key, BlockingPool& pool,
                              std::function<Result<void>()> work) {
    auto job = std::make_shared<Job>();
    job->work = std::move(work);
    auto place = std::make_shared<Place>(*this, key);
    jobs_.spawn("lane " + key, carry_out(&pool, std::move(place), job));
    SKIFF_CO_CHECK(co_await job->done.wait());
    co_return job->result;
}

Task<Result<void>> Lanes::stop(SteadyTime deadline) {
    auto joined = co_await jobs_.join(deadline);
    co_await jobs_.stop();
    co_return joined;
}

}  // namespace skiff::async
