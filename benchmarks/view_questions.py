"""A typical question to each view, for ``benchmarks.views``. The cookbook (``sql/queries``) has more."""

QUESTIONS = {
    "review_sentiment: one review": "SELECT * FROM review_sentiment WHERE review_id = :review_id",
    "sentiment_latest: one review": "SELECT * FROM sentiment_latest WHERE review_id = :review_id",
    "sentiment_latest: newest day of one product": (
        "SELECT * FROM sentiment_latest WHERE product = :product AND local_day = "
        "(SELECT MAX(local_day) FROM sentiment_daily_by_product WHERE product = :product)"
    ),
    "sentiment_latest: newest 20 of one product": (
        "SELECT * FROM sentiment_latest WHERE product = :product "
        "ORDER BY local_day DESC, created_at DESC, review_id DESC LIMIT 20"
    ),
    "sentiment_latest: newest day": (
        "SELECT * FROM sentiment_latest WHERE local_day = (SELECT MAX(local_day) FROM sentiment_daily)"
    ),
    "sentiment_daily: last 30 days": "SELECT * FROM sentiment_daily ORDER BY local_day DESC LIMIT 30",
    "sentiment_daily: all": "SELECT * FROM sentiment_daily",
    "sentiment_daily_by_product: one product": "SELECT * FROM sentiment_daily_by_product WHERE product = :product",
    "sentiment_daily_by_product: newest day": (
        "SELECT * FROM sentiment_daily_by_product WHERE local_day = (SELECT MAX(local_day) FROM sentiment_daily)"
    ),
    "sentiment_by_product: all": "SELECT * FROM sentiment_by_product",
    "sentiment_by_product: one product": "SELECT * FROM sentiment_by_product WHERE product = :product",
    "sentiment_uncertain: 20 least confident": "SELECT * FROM sentiment_uncertain ORDER BY confidence LIMIT 20",
    "sentiment_uncertain: newest day": (
        "SELECT * FROM sentiment_uncertain WHERE local_day = (SELECT MAX(local_day) FROM sentiment_daily)"
    ),
    "sentiment_changes: one review": "SELECT * FROM sentiment_changes WHERE review_id = :review_id",
    "sentiment_changes: newest day": (
        "SELECT * FROM sentiment_changes WHERE local_day = (SELECT MAX(local_day) FROM sentiment_daily) AND changed"
    ),
    "sentiment_checked: share that agrees": "SELECT AVG(CASE WHEN agrees THEN 1.0 ELSE 0.0 END) FROM sentiment_checked",
    "scoring_failures: all": "SELECT * FROM scoring_failures",
    "scoring_health: last ten runs": "SELECT * FROM scoring_health ORDER BY run_id DESC LIMIT 10",
    "model_scorecard: all": "SELECT * FROM model_scorecard",
    "model_in_service": "SELECT * FROM model_in_service",
    "suspect_annotations: all": "SELECT * FROM suspect_annotations",
    "calendar: all": "SELECT * FROM calendar",
}
"""Statements by name. The name begins with that of the view. They may use the parameters review_id and product."""
